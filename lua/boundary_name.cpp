// Finding the C function between a wait and its task. See boundary_name.hpp.
#include "boundary_name.hpp"

#include <cstring>

#include "lua_task.hpp"
#include "protect.hpp"
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

// Whether a frame is a function of ours that can be suspended inside.
bool is_transparent(lua_State* L, const lua_Debug& frame, int function) {
  const lua_CFunction native = lua_tocfunction(L, function);
  if (protect::calls_back(native)) return true;
  if (frame.name && std::strcmp(frame.name, "close") == 0 && std::strcmp(frame.namewhat, "metamethod") == 0)
    return true;
  if (!push_library_name(L, function)) return false;
  const bool ours = std::strncmp(lua_tostring(L, -1), "perilune.", 9) == 0;
  lua_pop(L, 1);
  return ours;
}

void push_name_of(lua_State* L, const lua_Debug& frame, int function) {
  if (protect::is_message_handler(lua_tocfunction(L, function)))
    lua_pushliteral(L, "a message handler (xpcall)");
  else if (lua_tocfunction(L, function) == vm_of(L).stock_load)
    lua_pushliteral(L, "load");
  else if (!push_library_name(L, function))
    lua_pushstring(L, frame.name ? frame.name : "a C function");
}

// Looks outward from a frame of `thread` for the C function or finalizer that cannot be suspended. Pushes its name on L.
bool push_blocker(lua_State* L, lua_State* thread, int level) {
  lua_Debug frame;
  for (; lua_getstack(thread, level, &frame); ++level) {
    protect::need_stack(thread, 4);
    lua_getinfo(thread, "Snf", &frame);
    if (thread != L) lua_xmove(thread, L, 1);
    const int function = lua_gettop(L);
    const bool finalizer = frame.name && std::strcmp(frame.name, "__gc") == 0;
    if (finalizer || (*frame.what == 'C' && !is_transparent(L, frame, function))) {
      if (finalizer)
        lua_pushliteral(L, "a finalizer (__gc)");
      else
        push_name_of(L, frame, function);
      lua_replace(L, function);
      return true;
    }
    lua_pop(L, 1);
  }
  return false;
}

// Pushes the name of what stands between the wait and the task.
bool push_blocker_of(lua_State* L, const lua_task& task) {
  if (L != task.innermost) return push_blocker(L, task.innermost, 0);
  if (!lua_isyieldable(L)) return push_blocker(L, L, 1);
  if (!task.blocked_at) return push_blocker(L, L, 0);
  return push_blocker(L, task.blocked_at, 1);
}

}  // namespace

void push_boundary(lua_State* L, const lua_task& task) {
  protect::need_stack(L, LUA_MINSTACK);
  if (task.critical)
    lua_pushliteral(L, "peri.critical");
  else if (!push_blocker_of(L, task))
    lua_pushliteral(L, "a C function");
}

void push_boundary_name(lua_State* L, const lua_task& task) {
  protect::need_stack(L, LUA_MINSTACK);
  if (!task.host->in_task()) {
    lua_pushstring(L, task.host->has_worker()
                          ? "cannot wait outside of a task: run this with: perilune FILE"
                          : "cannot wait inside peri.blocking: the function has a thread of its own, and no tasks");
    return;
  }
  push_boundary(L, task);
  lua_pushfstring(L, "cannot suspend inside %s", lua_tostring(L, -1));
  lua_replace(L, -2);
}

}  // namespace perilune
