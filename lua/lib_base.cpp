// The globals in our form: pcall, xpcall, load, print, os.exit, debug.sethook; and coroutine.*.
#include <cstdio>
#include <cstring>

#include "allowance.hpp"
#include "error_object.hpp"
#include "library.hpp"
#include "object.hpp"
#include "vm_group.hpp"

namespace perilune {

namespace {

// The run is ended by its main VM; the task that asked is cancelled here.
reply exit_elsewhere(vm& v, int code) {
  v.options().group->exit(code, "os.exit");
  if (!v.in_task()) return raise_text(v, "os.exit");
  perilune::cancel(v.running(), reason_ptr::make(cancel_source::shutdown, "os.exit", 0, "os.exit"));
  return action::exit_host;
}

// os.exit([code]): ends the run. Every task is cancelled and its closers run; the call does not return.
reply exit_body(lua_State* L, vm& v) {
  int whole = 1;
  int code = lua_type(L, 1) == LUA_TNUMBER ? static_cast<int>(lua_tointegerx(L, 1, &whole)) : 0;
  if (lua_isboolean(L, 1)) code = lua_toboolean(L, 1) ? 0 : 1;
  if (!whole || !(lua_isnoneornil(L, 1) || lua_isboolean(L, 1) || lua_type(L, 1) == LUA_TNUMBER))
    return bad_argument(v, 1, "an integer or a boolean expected", L);
  const vm_options& own = v.options();
  if (own.worker != 0 || own.isolated || own.group->on_own_thread()) return exit_elsewhere(v, code);
  if (!v.exiting) {
    v.exiting = true;
    v.exit_code = code;
  }
  v.host_runtime().cancel_all(cancel_source::shutdown, "os.exit", v.running().name ? v.running().name : "os.exit");
  return v.in_task() ? action::exit_host : 0;
}

// print(...), each line in one piece: several workers may print at once. A run in an isolate may be limited.
reply print_body(lua_State* L, vm& v) {
  const int count = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= count; ++i) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, nullptr);
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n');
  luaL_pushresult(&line);
  std::size_t size = 0;
  const char* text = lua_tolstring(L, -1, &size);
  if (!count_output(v, size)) return action::raise_cancel;
  std::fwrite(text, 1, size, stdout);
  std::fflush(stdout);
  return 0;
}

reply sethook_body(lua_State*, vm& v) {
  return raise_text(v, "debug.sethook is not available: the runtime owns the hooks");
}

reply is_error_body(lua_State* L, vm& v) {
  const error_object* e = to_object<error_object>(L, 1);
  if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TSTRING) return bad_argument(v, 2, "a kind (string) expected", L);
  const bool any_kind = lua_isnoneornil(L, 2);
  lua_pushboolean(L, e && (any_kind || !std::strcmp(lua_tostring(L, 2), to_string(e->kind))));
  return 1;
}

reply on_unobserved_body(lua_State* L, vm& v) {
  if (!lua_isnoneornil(L, 1) && !is_callable(L, 1)) return bad_argument(v, 1, "a function or nil expected", L);
  vm::push_registry(L, registry_slot::on_unobserved);
  if (!is_callable(L, -1)) lua_pushnil(L);
  if (lua_isnoneornil(L, 1))
    lua_pushboolean(L, 0);
  else
    lua_pushvalue(L, 1);
  vm::set_registry(L, registry_slot::on_unobserved);
  return 1;
}

reply running_body(lua_State* L, vm&) {
  const bool main = lua_pushthread(L) || is_marked(L, thread_mark::of_task);
  lua_pushboolean(L, main);
  return 2;
}

reply is_yieldable_body(lua_State* L, vm& v) {
  lua_State* thread = lua_tothread(L, 1);
  if (!thread && !lua_isnone(L, 1)) return bad_argument(v, 1, "coroutine expected", L);
  if (!thread) thread = L;
  lua_pushboolean(L, lua_isyieldable(thread) && !is_marked(thread, thread_mark::of_task));
  return 1;
}

}  // namespace

void open_base(lua_State* L) {
  constexpr library_function functions[] = {
      {"is_error", protect::native<is_error_body>},
      {"on_unobserved", protect::native<on_unobserved_body>},
  };
  set_functions(L, functions);
  lua_pushglobaltable(L);
  lua_getfield(L, -1, "load");
  vm_of(L).stock_load = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  constexpr library_function globals[] = {{"pcall", protect::pcall},
                                          {"xpcall", protect::xpcall},
                                          {"load", protect::load},
                                          {"print", protect::native<print_body>}};
  set_functions(L, globals);
  lua_getfield(L, -1, LUA_OSLIBNAME);
  lua_pushcfunction(L, protect::native<exit_body>);
  lua_setfield(L, -2, "exit");
  lua_getfield(L, -2, LUA_DBLIBNAME);
  lua_pushcfunction(L, protect::native<sethook_body>);
  lua_setfield(L, -2, "sethook");
  lua_getfield(L, -1, "traceback");
  vm_of(L).stock_traceback = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  lua_pop(L, 3);
}

void open_coroutines(lua_State* L) {
  lua_getglobal(L, LUA_COLIBNAME);
  constexpr library_function functions[] = {
      {"create", protect::coroutine_create},      {"resume", protect::coroutine_resume},
      {"wrap", protect::coroutine_wrap},          {"yield", protect::coroutine_yield},
      {"close", protect::coroutine_close},        {"status", protect::coroutine_status},
      {"running", protect::native<running_body>}, {"isyieldable", protect::native<is_yieldable_body>},
  };
  set_functions(L, functions);
  lua_pop(L, 1);
}

}  // namespace perilune
