// Modules: the shipped Lua ones inside the binary, the native ones, and the loader that serves both to `require`.
#include "confine.hpp"
#include "embedded_modules.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "shipped_chunk.hpp"
#include "transfer.hpp"

namespace perilune {

namespace {

lua_CFunction find_native_module(std::string_view name) noexcept {
  for (const library_function& module : native_modules)
    if (name == module.name) return module.function;
  return nullptr;
}

// natives.load_shipped(name) -> what makes the module, Lua or native, or nil when there is none. Only want of memory keeps one
// from being loaded.
reply load_shipped_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a module name expected", L);
  if (const lua_CFunction open = find_native_module(lua_tostring(L, 1))) return lua_pushcfunction(L, open), 1;
  const embedded_module* module = find_embedded_module(lua_tostring(L, 1));
  if (!module) return lua_pushnil(L), 1;
  push_shipped_chunk(L, *module);
  return 1;
}

reply allows_body(lua_State* L, vm& v) {
  lua_pushboolean(L, lua_type(L, 1) == LUA_TSTRING && allows_module(v, lua_tostring(L, 1)));
  return 1;
}

reply is_shipped_body(lua_State* L, vm&) {
  const char* name = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : nullptr;
  lua_pushboolean(L, name && (find_native_module(name) || find_embedded_module(name)));
  return 1;
}

// natives.load_from_host(name) -> chunk, or nil, or nil and why it is no Lua.
reply load_from_host_body(lua_State* L, vm& v) {
  if (!v.options().load_module || lua_type(L, 1) != LUA_TSTRING) return lua_pushnil(L), 1;
  module_source found;
  {
    auto given = v.options().load_module(lua_tostring(L, 1));
    if (!given) return lua_pushnil(L), 1;
    found = *std::move(given);
  }
  if (luaL_loadbufferx(L, found.text.data(), found.text.size(), found.name.c_str(), "t") == LUA_OK) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

// natives.keep_reload(function): what the host calls to load a module again.
reply keep_reload_body(lua_State* L, vm&) {
  lua_settop(L, 1);
  vm::set_registry(L, registry_slot::reload);
  return 0;
}

reply current_task_body(lua_State* L, vm& v) {
  if (v.in_task())
    v.push_handle(L, v.running().slot);
  else
    lua_pushboolean(L, 0);
  return 1;
}

void push_natives(lua_State* L, const vm& v) {
  constexpr library_function functions[] = {
      {"load_shipped", protect::native<load_shipped_body>},
      {"load_from_host", protect::native<load_from_host_body>},
      {"keep_reload", protect::native<keep_reload_body>},
      {"is_shipped", protect::native<is_shipped_body>},
      {"allows", protect::native<allows_body>},
      {"current_task", protect::native<current_task_body>},
  };
  lua_newtable(L);
  set_functions(L, functions);
  set_flag(L, "host_loads", v.options().load_module != nullptr);
  push_loaded_modules(L);
  lua_setfield(L, -2, "libraries");
  set_flag(L, "confined", !vm_of(L).trusted());
}

}  // namespace

void make_deterministic(lua_State* L) {
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, static_cast<lua_Integer>(vm_of(L).host_runtime().options().seed));
  protect::call(L, 1, 0);
  lua_pop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perilune.ordered");
  protect::call(L, 1, 1);
  lua_setglobal(L,
                "pairs");  // shipped modules have it by themselves: in a confined VM their globals are not the scripts'
}

void open_modules(lua_State* L) {
  const int table = lua_gettop(L);
  lua_pushcfunction(L, protect::native<load_shipped_body>);
  lua_pushliteral(L, "perilune.loader");
  protect::call(L, 1, 1);
  lua_pushvalue(L, table);
  push_natives(L, vm_of(L));
  protect::call(L, 2, 0);
  if (!vm_of(L).trusted()) keep_environment(L);
}

}  // namespace perilune
