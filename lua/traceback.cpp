// Trimming what Lua says of its stack. See traceback.hpp.
#include "traceback.hpp"

#include <string_view>

namespace perilune {

void push_script_traceback(lua_State* L, const char* heading, int level) {
  constexpr std::string_view entry = "\n\t[C]: in ?";
  luaL_traceback(L, L, heading, level);
  std::size_t size = 0;
  const char* text = lua_tolstring(L, -1, &size);
  if (!std::string_view(text, size).ends_with(entry)) return;
  lua_pushlstring(L, text, size - entry.size());
  lua_replace(L, -2);
}

void push_caller_position(lua_State* L) {
  constexpr std::string_view shipped = "=perilune.";
  lua_Debug frame;
  int level = 1;
  for (; lua_getstack(L, level, &frame) && lua_getinfo(L, "S", &frame); ++level) {
    const bool calls_shipped = level > 1 && *frame.what == 'C';
    if (!calls_shipped && !std::string_view(frame.source).starts_with(shipped)) break;
  }
  luaL_where(L, level);
}

}  // namespace perilune
