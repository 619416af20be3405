// Whether a text is a pipeline, where no file name says so.
#pragma once

#include <string_view>

namespace perilune::cli {

// TOML, or Lua that speaks of perilune.pipeline; whether that makes one turns out when it has run.
bool is_pipeline(std::string_view source);

}  // namespace perilune::cli
