// Handing a text from C++ to Lua: it is kept in vm::message, where no frame has to destroy it when pushing raises.
#pragma once

#include "vm.hpp"

namespace perilune {

// Texts above this size are not worth keeping room for.
inline constexpr std::size_t kept_scratch = 64 * 1024;

// Pushes vm::message as a string. Raises when memory is out.
inline int push_scratch(lua_State* L, vm& v) {
  lua_pushlstring(L, v.message.data(), v.message.size());
  if (v.message.capacity() > kept_scratch) v.message = std::string();
  return 1;
}

}  // namespace perilune
