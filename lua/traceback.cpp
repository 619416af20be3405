// Trimming what Lua says of its stack. See traceback.hpp.
#include "traceback.hpp"

#include <string_view>

namespace perilune {

namespace {

bool is_shipped(const lua_Debug& frame) noexcept { return std::string_view(frame.source).starts_with("=perilune."); }

void push_frame(lua_State* L, const lua_Debug& frame) {
  const char* what = *frame.namewhat ? frame.namewhat : "function";
  if (frame.currentline > 0)
    lua_pushfstring(L, "\n\t%s:%d: in ", frame.short_src, frame.currentline);
  else
    lua_pushfstring(L, "\n\t%s: in ", frame.short_src);
  if (frame.name)
    lua_pushfstring(L, "%s '%s'", what, frame.name);
  else
    lua_pushfstring(L, "%s <%s:%d>", what, frame.short_src, frame.linedefined);
  lua_concat(L, 2);
}

// The innermost calls only. The stock one looks for the outermost as well, and walks through all that are between many times: a
// second at the depth where the stack overflows.
void push_deep_traceback(lua_State* L, lua_State* of, const char* heading, int level) {
  constexpr int shown = 20;
  lua_Debug frame;
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  if (heading) luaL_addstring(&text, heading), luaL_addchar(&text, '\n');
  luaL_addstring(&text, "stack traceback:");
  for (int i = level; i < level + shown && lua_getstack(of, i, &frame) && lua_getinfo(of, "Sln", &frame); ++i) {
    push_frame(L, frame);
    luaL_addvalue(&text);
  }
  luaL_addstring(&text, "\n\t...\t(and more than 1000 calls around these)");
  luaL_pushresult(&text);
}

}  // namespace

void push_traceback(lua_State* L, lua_State* of, const char* heading, int level) {
  constexpr int deep = 1000;
  lua_Debug outer;
  if (level >= 0 && level < deep && lua_getstack(of, level + deep, &outer))
    push_deep_traceback(L, of, heading, level);
  else
    luaL_traceback(L, of, heading, level);
}

void push_script_traceback(lua_State* L, const char* heading, int level) {
  constexpr std::string_view entry = "\n\t[C]: in ?";
  push_traceback(L, L, heading, level);
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
    if (!lua_getinfo(L, "S", &frame) || is_shipped(frame)) continue;
    if (lua_getinfo(L, "l", &frame) && frame.currentline > 0) return true;
  }
  return false;
}

}  // namespace perilune
