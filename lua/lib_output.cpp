// Where an isolate limits what its runs print, what goes to the standard streams by io.write and file:write counts as well; print
// and perilune.log count by themselves. See confine.hpp.
#include <cstdio>

#include "allowance.hpp"
#include "confine.hpp"
#include "library.hpp"

namespace perilune {

namespace {

constexpr const char* default_output = "_IO_output";  // Lua's own key in the registry

bool is_printed(lua_State* L, int file) {
  const auto* stream = static_cast<const luaL_Stream*>(luaL_testudata(L, file, LUA_FILEHANDLE));
  return stream && stream->f && (stream->f == stdout || stream->f == stderr);
}

std::uint64_t bytes_of(lua_State* L, int first) {
  std::uint64_t bytes = 0;
  for (int i = first, last = lua_gettop(L); i <= last; ++i) {
    lua_pushvalue(L, i);
    std::size_t size = 0;
    if (lua_tolstring(L, -1, &size)) bytes += size;
    lua_pop(L, 1);
  }
  return bytes;
}

// write as a function of io, or as a method of files; Lua's own is the upvalue.
template <bool Method>
reply write_body(lua_State* L, vm& v) {
  bool printed = false;
  if (Method) {
    printed = is_printed(L, 1);
  } else {
    lua_getfield(L, LUA_REGISTRYINDEX, default_output);
    printed = is_printed(L, -1);
    lua_pop(L, 1);
  }
  if (printed && !count_output(v, bytes_of(L, Method ? 2 : 1))) return action::raise_cancel;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return action::call_plain;
}

// Replaces `write` in the table on top.
void wrap_write(lua_State* L, lua_CFunction function) {
  lua_getfield(L, -1, "write");
  lua_pushcclosure(L, function, 1);
  lua_setfield(L, -2, "write");
}

}  // namespace

void count_written(lua_State* L) {
  const int top = lua_gettop(L);
  if (lua_getglobal(L, LUA_IOLIBNAME) == LUA_TTABLE) {
    wrap_write(L, protect::native<write_body<false>>);
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_getfield(L, -1, "__index");
    wrap_write(L, protect::native<write_body<true>>);
  }
  lua_settop(L, top);
}

}  // namespace perilune
