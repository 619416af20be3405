// The Lua modules that ship inside the library, so that a binary runs without files beside it.
// Constant data, owned by the program; any thread may read it.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace perilune {

struct embedded_module {
  const char* name;    // as `require` names it: "perilune.stream"
  const char* source;  // Lua text, not followed by a counted zero byte
  std::size_t size;    // bytes of `source`
};

// Every shipped module, sorted by name.
std::span<const embedded_module> embedded_modules() noexcept;

// The module of that name, or null.
const embedded_module* find_embedded_module(std::string_view name) noexcept;

// The code of every module, in the same order, as the Lua of that release dumped it when this was built; none where this is
// built for another kind of machine.
std::span<const std::string_view> embedded_code() noexcept;
const char* embedded_code_release() noexcept;

}  // namespace perilune
