// Opening the libraries of a VM. See library.hpp.
#include "library.hpp"

#include "confine.hpp"
#include "error_object.hpp"
#include "region.hpp"

namespace perilune {

void push_new_type(lua_State* L, type_name name, int fields) {
  push_type(L, name);
  if (lua_istable(L, -1)) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, fields);
  lua_pushvalue(L, -1);
  lua_rawseti(L, LUA_REGISTRYINDEX, registry_key(name));
}

void define_type(lua_State* L, type_name name, const char* shown, const library_function* methods,
                 std::size_t method_count, const library_function* metamethods, std::size_t metamethod_count) {
  constexpr int common = 3;
  push_new_type(L, name, common + static_cast<int>(metamethod_count));
  if (method_count) {
    lua_createtable(L, 0, static_cast<int>(method_count));
    for (std::size_t i = 0; i < method_count; ++i) {
      lua_pushcfunction(L, methods[i].function);
      lua_setfield(L, -2, methods[i].name);
    }
    lua_setfield(L, -2, "__index");
  }
  for (std::size_t i = 0; i < metamethod_count; ++i) {
    if (!metamethods[i].function) continue;
    lua_pushcfunction(L, metamethods[i].function);
    lua_setfield(L, -2, metamethods[i].name);
  }
  lua_pushstring(L, shown);
  lua_setfield(L, -2, "__name");
  lua_pushstring(L, shown);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

lua_Integer read_count(lua_State* L, int index, lua_Integer most) {
  int whole = 0;
  const lua_Integer count = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  return whole && count <= most ? count : -1;
}

void set_index(lua_State* L, type_name name, lua_CFunction index) {
  push_type(L, name);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

bool push_method(lua_State* L, std::string_view& name) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return true;
  std::size_t size = 0;
  const char* text = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &size) : "";
  name = {text, size};
  return false;
}

int open_library(lua_State* L) {
  const bool trusted = vm_of(L).trusted();
  trusted ? luaL_openlibs(L) : open_confined_libraries(L);
  error_object::open(L);
  region::open(L);
  constexpr int functions = 96;
  lua_createtable(L, 0, functions);
  open_base(L);
  open_spawning(L);
  open_tasks(L);
  open_coroutines(L);
  open_time(L);
  open_intervals(L);
  open_cancellation(L);
  open_scopes(L);
  open_join_sets(L);
  open_channels(L);
  open_oneshots(L);
  open_watches(L);
  open_broadcasts(L);
  open_guards(L);
  open_locks(L);
  open_sync(L);
  open_operations(L);
  open_inspection(L);
  open_remotes(L);
  open_shared_channels(L);
  open_shared_values(L);
  open_buffers(L);
  open_task_links(L);
  open_isolates(L);
  open_modules(L);
  vm::set_registry(L, registry_slot::modules);
  if (vm_of(L).options().deterministic) make_deterministic(L);
  if (vm_of(L).options().rules.each_run.output != run_limits::none) count_written(L);
  if (!trusted) confine(L);
  return 0;
}

}  // namespace perilune
