// What stands painted at the end of standard error while somebody shows a run there (perilune.pipeline.output_live): messages of the
// program itself, from whatever thread, go above it instead of through it.
#pragma once

#include <string>
#include <string_view>

namespace perilune::painted {

// Replaces what is painted, in one write: `erasing` goes first, unless a message has erased it already. `next_erasing` is what
// would erase it again; empty where nothing stands below the text.
void paint(std::string_view erasing, std::string_view text, std::string_view next_erasing);

// A message on standard error.
void say(const std::string& text);

}  // namespace perilune::painted
