// Modules: the shipped Lua ones inside the binary, the native ones, and the loader that serves both to `require`.
#include <iterator>

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

// The searchers in package.searchers: a name -> what makes the module, Lua or native, and where it is from; or why there is none.

reply search_shipped_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a module name expected", L);
  if (const lua_CFunction open = find_native_module(lua_tostring(L, 1))) {
    lua_pushcfunction(L, open);
  } else if (const embedded_module* module = find_embedded_module(lua_tostring(L, 1))) {
    push_shipped_chunk(L, *module);
  } else {
    lua_pushfstring(L, "no shipped module '%s'", lua_tostring(L, 1));
    return 1;
  }
  lua_pushliteral(L, ":shipped:");
  return 2;
}

reply search_host_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a module name expected", L);
  module_source found;
  {
    auto given = v.options().load_module(lua_tostring(L, 1));
    if (!given) {
      lua_pushfstring(L, "no module '%s' of the host", lua_tostring(L, 1));
      return 1;
    }
    found = *std::move(given);
  }
  if (luaL_loadbufferx(L, found.text.data(), found.text.size(), found.name.c_str(), "t") == LUA_OK) {
    lua_pushliteral(L, ":host:");
    return 2;
  }
  lua_pushfstring(L, "error loading module '%s' of the host:\n\t%s", lua_tostring(L, 1), lua_tostring(L, -1));
  return action::raise_top;
}

// They come behind what scripts have preloaded.
void add_searchers(lua_State* L, const vm& v) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  const bool host_loads = v.options().load_module != nullptr;
  for (auto i = static_cast<lua_Integer>(lua_rawlen(L, -1)); i >= 2; --i) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + (host_loads ? 2 : 1));
  }
  lua_pushcfunction(L, protect::native<search_shipped_body>);
  lua_rawseti(L, -2, 2);
  if (host_loads) {
    lua_pushcfunction(L, protect::native<search_host_body>);
    lua_rawseti(L, -2, 3);
  }
  lua_pop(L, 2);
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

reply current_task_body(lua_State* L, vm& v) {
  if (v.in_task())
    v.push_handle(L, v.running().slot);
  else
    lua_pushboolean(L, 0);
  return 1;
}

// Text only.
reply dofile_body(lua_State* L, vm& v) {
  if (!lua_isnoneornil(L, 1) && !lua_isstring(L, 1)) return bad_argument(v, 1, "a file name (string) expected", L);
  lua_settop(L, 1);
  if (luaL_loadfilex(L, lua_tostring(L, 1), "t") != LUA_OK) return action::raise_top;
  lua_replace(L, 1);
  return action::call_plain;
}

reply index_body(lua_State* L, vm&) {
  push_loader(L, "index");
  lua_insert(L, 1);
  return action::call_plain;
}

template <bool Confined>
reply require_body(lua_State* L, vm&) {
  push_loader(L, Confined ? "confined_require" : "require");
  return 1;
}

// What scripts may replace before the loader is there. Where they are not trusted, the loader has the environment of shipped
// modules.
void keep_base(lua_State* L) {
  constexpr const char* names[] = {"package", "type",   "error", "tostring",     "ipairs",      "setmetatable",
                                   "rawget",  "rawset", "next",  "getmetatable", LUA_TABLIBNAME};
  lua_createtable(L, 0, static_cast<int>(std::size(names)));
  for (const char* name : names) {
    lua_getglobal(L, name);
    lua_setfield(L, -2, name);
  }
  lua_setfield(L, -2, "base");
}

// In a VM whose scripts have another table of loaded modules than the shipped ones.
void load_privately(lua_State* L) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "loaded");
  push_loaded_modules(L);
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 3);
}

}  // namespace

void push_loader(lua_State* L, const char* function) {
  constexpr library_function natives[] = {
      {"is_shipped", protect::native<is_shipped_body>},
      {"allows", protect::native<allows_body>},
      {"current_task", protect::native<current_task_body>},
  };
  vm::push_registry(L, registry_slot::loader);
  const int loader = lua_gettop(L);
  if (lua_getfield(L, loader, function) == LUA_TNIL) {
    lua_settop(L, loader);
    set_functions(L, natives);
    push_loaded_modules(L);
    lua_setfield(L, loader, "libraries");
    push_shipped_chunk(L, *find_embedded_module("perilune.loader"));
    vm::push_registry(L, registry_slot::modules);
    lua_pushvalue(L, loader);
    protect::call(L, 2, 0);
    lua_getfield(L, loader, function);
  }
  lua_replace(L, loader);
}

void push_require(lua_State* L, bool confined) {
  push_shipped_chunk(L, *find_embedded_module("perilune.require"));
  lua_pushcfunction(L, confined ? protect::native<require_body<true>> : protect::native<require_body<false>>);
  protect::call(L, 1, 1);
}

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
  const vm& v = vm_of(L);
  const int modules = lua_gettop(L);
  add_searchers(L, v);
  push_require(L, false);
  lua_setglobal(L, "require");
  lua_pushcfunction(L, protect::native<dofile_body>);
  lua_setglobal(L, "dofile");
  lua_newtable(L);
  if (v.trusted()) keep_base(L);
  vm::set_registry(L, registry_slot::loader);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, protect::native<index_body>);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, modules);
  if (!v.trusted()) load_privately(L);
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "loaded");
  lua_pushvalue(L, modules);
  lua_setfield(L, -2, "perilune");
  lua_settop(L, modules);
}

}  // namespace perilune
