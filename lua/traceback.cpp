// Trimming what Lua says of its stack. See traceback.hpp.
#include "traceback.hpp"

#include <string_view>

namespace perilune {

namespace {

bool is_shipped(const lua_Debug& frame) noexcept { return std::string_view(frame.source).starts_with("=perilune."); }

}  // namespace

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
  lua_Debug frame;
  int level = 1;
  for (; lua_getstack(L, level, &frame) && lua_getinfo(L, "S", &frame); ++level) {
    const bool calls_shipped = level > 1 && *frame.what == 'C';
    if (!calls_shipped && !is_shipped(frame)) break;
  }
  luaL_where(L, level);
}

bool find_own_line(lua_State* L, int level, lua_Debug& frame) noexcept {
  for (; lua_getstack(L, level, &frame); ++level) {
    if (!lua_getinfo(L, "Sl", &frame) || frame.currentline <= 0) continue;
    if (!is_shipped(frame)) return true;
  }
  return false;
}

}  // namespace perilune
