// Finding the C function between a wait and its task. See boundary_name.hpp.
#include "boundary_name.hpp"

#include <cstring>

#include "lua_task.hpp"
#include "vm.hpp"

namespace perilune {

namespace {

// Pushes "table.sort" for a function found in a loaded module. False, and nothing pushed, when it is in none.
bool push_library_name(lua_State* L, int function) {
  const int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) {
    if (!lua_istable(L, -1) || lua_type(L, -2) != LUA_TSTRING) continue;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, function)) continue;
      const char* module = lua_tostring(L, -4);
      const char* name = lua_tostring(L, -2);
      if (std::strcmp(module, LUA_GNAME) == 0)
        lua_pushstring(L, name);
      else
        lua_pushfstring(L, "%s.%s", module, name);
      lua_replace(L, top + 1);
      lua_settop(L, top + 1);
      return true;
    }
  }
  lua_settop(L, top);
  return false;
}

// Looks outward from the wait for the first C function or finalizer. Pushes its name.
bool push_blocker(lua_State* L) {
  lua_Debug frame;
  for (int level = 1; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Snf", &frame);
    const int function = lua_gettop(L);
    const bool finalizer = frame.name && std::strcmp(frame.name, "__gc") == 0;
    if (finalizer || *frame.what == 'C') {
      if (finalizer)
        lua_pushliteral(L, "a finalizer (__gc)");
      else if (!push_library_name(L, function))
        lua_pushstring(L, frame.name ? frame.name : "a C function");
      lua_replace(L, function);
      return true;
    }
    lua_pop(L, 1);
  }
  return false;
}

}  // namespace

void push_boundary_name(lua_State* L, const lua_task& task) {
  if (!task.host->in_task()) {
    lua_pushliteral(L, "cannot wait outside of a task: run this with: perilune FILE");
    return;
  }
  if (task.critical) {
    lua_pushliteral(L, "cannot suspend inside peri.critical");
    return;
  }
  if (!push_blocker(L)) {
    lua_pushliteral(L, "cannot suspend inside a message handler or a coroutine called from C");
    return;
  }
  lua_pushfstring(L, "cannot suspend inside %s", lua_tostring(L, -1));
}

}  // namespace perilune
