// What lua_dump writes, collected in a string. Any thread.
#pragma once

#include <cstddef>
#include <string>

#include <lua.hpp>

namespace perilune {

// A lua_Writer whose data is the std::string; not 0 when there is no memory for it.
inline int append_dumped(lua_State*, const void* bytes, std::size_t size, void* to) noexcept {
  try {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), size);
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // namespace perilune
