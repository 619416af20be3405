// peri.spawn: what it is given, and the making of a Lua task. See lua-api: Tasks.
#include <cstring>
#include <iterator>
#include <utility>

#include "allowance.hpp"
#include "library.hpp"
#include "object.hpp"
#include "option_table.hpp"
#include "protect_handlers.hpp"

namespace perilune {

namespace {

constexpr const char* option_names[] = {"name", "labels", "daemon", "detached", "local_data", "worker"};

// Reads the options table at `index`. A reply < 0 refuses.
reply read_options(lua_State* L, vm& v, int index, spawn_request& request) {
  const std::size_t known = std::size(option_names) - (request.takes_worker ? 0 : 1);
  if (const reply refused = check_option_names(L, v, index, request.call, option_names, known); refused < 0)
    return refused;
  spawn_options& engine = request.options;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char* key = lua_tostring(L, -2);
    if (!std::strcmp(key, "daemon")) {
      engine.daemon = lua_toboolean(L, -1) != 0;
    } else if (!std::strcmp(key, "detached")) {
      engine.detached = lua_toboolean(L, -1) != 0;
    } else if (!std::strcmp(key, "name")) {
      if (lua_type(L, -1) != LUA_TSTRING) return bad_option(L, v, key, request.call, "a string expected");
      request.kept = index;
    } else if (!std::strcmp(key, "worker")) {
      const lua_Integer workers = v.host_runtime().workers();
      request.worker = read_count(L, -1, workers);
      if (request.worker < 1)
        return bad_option(L, v, key, request.call,
                          ("a worker from 1 to " + std::to_string(workers) + " expected").c_str());
    } else {
      if (!lua_istable(L, -1)) return bad_option(L, v, key, request.call, "a table expected");
      request.kept = index;
    }
  }
  return 0;
}

// Adds the fields of the table at `from` to the table on top.
void add_fields(lua_State* L, int from) {
  from = lua_absindex(L, from);
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

void copy_table(lua_State* L, int from) {
  from = lua_absindex(L, from);
  lua_newtable(L);
  add_fields(L, from);
}

// Keeps name, labels and local data (added to what is inherited) of the options table in the handle.
void keep_options(lua_State* L, lua_task& task, int handle, int options) {
  lua_task::push_extras(L, handle);
  const int extras = lua_gettop(L);
  if (lua_getfield(L, options, "name") == LUA_TSTRING) {
    task.name = lua_tostring(L, -1);
    lua_setfield(L, extras, "name");
  }
  if (lua_getfield(L, options, "labels") == LUA_TTABLE) {
    copy_table(L, -1);
    lua_setfield(L, extras, "labels");
  }
  const int given = lua_gettop(L) + 1;
  if (lua_getfield(L, options, "local_data") == LUA_TTABLE) {
    if (lua_getfield(L, extras, "data") != LUA_TTABLE) lua_newtable(L);
    add_fields(L, given);
    lua_setfield(L, extras, "data");
    task.has_data = true;
  }
  lua_settop(L, extras - 1);
}

// A child starts with a copy of its spawner's task-local data.
void inherit_data(lua_State* L, lua_task& task, int handle) {
  lua_task& parent = task.host->running();
  if (!parent.has_data || task.has_data) return;
  const int top = lua_gettop(L);
  task.host->push_handle(L, parent.slot);
  lua_task::push_extras(L, top + 1);
  lua_getfield(L, -1, "data");
  lua_task::push_extras(L, handle);
  copy_table(L, -2);
  lua_setfield(L, -2, "data");
  task.has_data = true;
  lua_settop(L, top);
}

reply spawn_body(lua_State* L, vm& v) {
  spawn_request request;
  if (const reply refused = read_spawn_arguments(L, v, 1, request); refused < 0) return refused;
  spawn_function(L, v, lua_gettop(L) - request.function, request.options, request.kept);
  return 1;
}

// For shipped modules: below the task itself, so that the scope or limit it is in may end before. Of a task that was
// cancelled, and so is inside a shield, below that.
reply spawn_below_task_body(lua_State* L, vm& v) {
  spawn_request request;
  if (const reply refused = read_spawn_arguments(L, v, 1, request); refused < 0) return refused;
  cancel_node& root = v.running();
  if (!root.has(cancel_node::cancelled)) request.options.below = &root;
  spawn_function(L, v, lua_gettop(L) - request.function, request.options, request.kept);
  return 1;
}

// What is detached in a run of an isolate belongs to the run all the same.
spawn_options within(const allowance* run, spawn_options options) noexcept {
  if (run && std::exchange(options.detached, false)) options.below = run->root;
  return options;
}

}  // namespace

bool is_callable(lua_State* L, int index) {
  if (lua_isfunction(L, index)) return true;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

reply read_spawn_arguments(lua_State* L, vm& v, int first, spawn_request& request) {
  request.function = first;
  if (lua_istable(L, first) && !is_callable(L, first)) {
    if (const reply refused = read_options(L, v, first, request); refused < 0) return refused;
    request.function = first + 1;
  }
  if (!is_callable(L, request.function)) {
    v.message = "function expected, got ";
    v.message += luaL_typename(L, request.function);
    v.message += "; pass the function itself, not the result of calling it";
    v.argument = request.function;
    return action::raise_argument;
  }
  if (!v.has_worker()) return raise_text(v, "nothing can be spawned inside peri.blocking: there are no tasks");
  if (v.closing()) return raise_text(v, "nothing can be spawned any more: the host is closing");
  return check_room(v);
}

reply check_room(vm& v) {
  if (!v.full()) return 0;
  const std::size_t most = v.options().rules.limits.max_tasks;
  return raise_error(v,
                     {error_kind::limit, "too many tasks: no more than " + std::to_string(most) + " at once", 0, {}});
}

lua_task& spawn_function(lua_State* L, vm& v, int arguments, const spawn_options& options, int option_table) {
  lua_task& task = push_object<lua_task>(L, type_name::task, lua_task::user_values, v);
  const int handle = lua_gettop(L);
  task.reports = v.running().reports;
  task.note_spawn_site(L, handle);
  inherit_data(L, task, handle);
  if (option_table) keep_options(L, task, handle, option_table);
  // A call of a C function and a new thread both have room for LUA_MINSTACK values.
  const bool many = arguments > LUA_MINSTACK / 2;
  if (many) protect::need_stack(L, arguments + 2, "too many arguments to spawn");
  const std::uint32_t slot = v.take_slot(L);
  lua_State* thread = v.thread_of(slot);
  if (many && !lua_checkstack(thread, arguments + 4)) {
    v.free_slot(slot);
    protect::need_stack(L, LUAI_MAXSTACK, "too many arguments to spawn");
  }
  task.slot = slot;
  task.thread = task.leaf = task.innermost = thread;
  v.hold_handle(L, slot, handle);
  lua_pushcfunction(thread, protect::task_main);
  lua_pushcfunction(thread, protect::on_task_error);
  for (int i = handle - arguments - 1; i < handle; ++i) lua_pushvalue(L, i);
  lua_xmove(L, thread, arguments + 1);
  task.incoming = arguments + 2;
  task.run = v.running().run;
  v.tasks().spawn(task, within(task.run, options));
  return task;
}

void open_spawning(lua_State* L) {
  constexpr library_function functions[] = {
      {"spawn", protect::native<spawn_body>},
      {"spawn_below_task_", protect::native<spawn_below_task_body>},
  };
  set_functions(L, functions);
}

}  // namespace perilune
