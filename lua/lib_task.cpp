// peri.spawn and what a task handle offers. See lua-api: Tasks.
#include <cstring>

#include "allowance.hpp"
#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "option_table.hpp"
#include "traceback.hpp"
#include "protect_handlers.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

struct data_proxy {
  static constexpr std::uint64_t tag = 0x64617461'c05b1e37ULL;
};

constexpr const char* option_names[] = {"name", "labels", "daemon", "detached", "local_data", "worker"};

// Reads the options table at `index`. A reply < 0 refuses.
reply read_options(lua_State* L, vm& v, int index, spawn_request& request) {
  const std::size_t known = std::size(option_names) - (request.takes_worker ? 0 : 1);
  if (const reply refused = check_option_names(L, v, index, request.call, option_names, known); refused < 0) return refused;
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
      request.worker = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
      if (request.worker < 1 || request.worker > workers)
        return bad_option(L, v, key, request.call, ("a worker from 1 to " + std::to_string(workers) + " expected").c_str());
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

// Joining.

reply refuse_self(vm& v, const lua_task& task) {
  return raise_text(v, "task " + std::to_string(task.id) + " cannot join itself");
}

struct join_kind final : operation_kind {
  const char* name() const noexcept override { return "join"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& task = object_at<lua_task>(L, at);
    if (&task == &v.running()) return refuse_self(v, task);
    return task.settled() ? task.push_outcome(L, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override { return object_at<lua_task>(L, at); }
  int collect(lua_State* L, vm&, int at) const override { return object_at<lua_task>(L, at).push_outcome(L, at); }
};
constexpr join_kind join_verb;

reply check_joinable(lua_State* L, vm& v) {
  lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  if (task == &v.running()) return refuse_self(v, *task);
  return 0;
}

reply join_timed_out(lua_State* L, vm& v) {
  const std::size_t arm = finish_select(L, v);
  if (arm == 0) return join_verb.collect(L, v, 1);
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

reply join_within(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 2, seconds); refused < 0) return refused;
  if (v.running().cancel_pending()) return action::raise_cancel;
  auto& task = object_at<lua_task>(L, 1);
  if (task.settled()) return task.push_outcome(L, 1);
  return wait_with_limit(L, v, task, seconds, join_timed_out);
}

// join is perform<> written out, with the task in hand.
reply join_body(lua_State* L, vm& v) {
  lua_task* task = to_object<lua_task>(L, 1);
  if (!task || task == &v.running()) return check_joinable(L, v);
  if (!lua_isnoneornil(L, 2)) return join_within(L, v);
  if (v.running().cancel_pending()) [[unlikely]]
    return action::raise_cancel;
  if (!spend(v)) [[unlikely]]
    return yield_and_retry(L, v, join_body);
  if (task->settled()) return task->push_outcome(L, 1);
  return wait_for(L, v, *task, collect_verb<join_verb>);
}

// Adds the awaiting task's traceback to that of the error object, up to a size that no script wants to read.
void add_awaiter(lua_State* L, int object) {
  constexpr std::size_t largest = 8192;
  error_object::push_field(L, object, "traceback");
  if (lua_isstring(L, -1) && lua_rawlen(L, -1) < largest) {
    lua_pushliteral(L, "\n");
    push_script_traceback(L, "awaited by:", 1);
    lua_concat(L, 3);
    error_object::set_field(L, object, "traceback");
  } else if (!lua_isstring(L, -1)) {
    push_script_traceback(L, "awaited by:", 1);
    error_object::set_field(L, object, "traceback");
  }
  lua_settop(L, object);
}

reply raise_outcome(lua_State* L, vm& v) {
  auto& task = object_at<lua_task>(L, 1);
  const int pushed = task.push_outcome(L, 1);
  if (task.status == task_state::returned) {
    lua_remove(L, lua_gettop(L) - pushed + 1);
    return pushed - 1;
  }
  static_cast<void>(v);
  add_awaiter(L, lua_gettop(L));
  return action::raise_top;
}

reply await_body(lua_State* L, vm& v) {
  if (const reply refused = check_joinable(L, v); refused < 0) return refused;
  if (v.running().cancel_pending()) return action::raise_cancel;
  auto& task = object_at<lua_task>(L, 1);
  if (!task.settled()) return wait_for(L, v, task, raise_outcome);
  if (!spend(v)) return yield_and_retry(L, v, await_body);
  return raise_outcome(L, v);
}

// Cancelling.

reason_ptr asked_by_running_task(vm& v, std::string text) {
  if (!v.in_task()) return reason_ptr::make(cancel_source::cancel, std::move(text), 0, "host");
  return v.tasks().asked_by_current(std::move(text));
}

template <void (*Request)(cancel_node&, reason_ptr) noexcept>
reply cancel_body(lua_State* L, vm& v) {
  lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return bad_argument(v, 2, "reason must be a string", L);
  if (task->settled()) return 0;
  std::size_t size = 0;
  const char* text = lua_isnoneornil(L, 2) ? "" : lua_tolstring(L, 2, &size);
  Request(*task, asked_by_running_task(v, std::string(text, size)));
  return 0;
}

reply detach_body(lua_State* L, vm& v) {
  lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  lua_settop(L, 1);
  if (task->settled() || task->is(task_header::trait::detached)) return 1;
  v.tasks().release_from_parent(*task, task->run ? task->run->root : nullptr);
  return 1;
}

reply status_body(lua_State* L, vm& v) {
  const lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  lua_pushstring(L, to_string(task->shown_state()));
  return 1;
}

reply children_body(lua_State* L, vm& v) {
  lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  lua_newtable(L);
  if (task->settled()) return 1;
  lua_Integer count = 0;
  for_each_child(*task, [&](task_header& child) {
    const lua_task* script = to_lua_task(child, v);
    if (!script) return;
    v.push_handle(L, script->slot);
    lua_rawseti(L, -2, ++count);
  });
  return 1;
}

void push_name(lua_State* L, const lua_task& task, int handle) {
  if (!task.has_extras) return lua_pushnil(L);
  lua_task::push_extras(L, handle);
  lua_getfield(L, -1, "name");
  lua_remove(L, -2);
}

reply id_body(lua_State* L, vm&) {
  lua_pushinteger(L, static_cast<lua_Integer>(object_at<lua_task>(L, 1).id));
  return 1;
}

reply name_body(lua_State* L, vm&) {
  push_name(L, object_at<lua_task>(L, 1), 1);
  return 1;
}

reply parent_body(lua_State* L, vm& v) {
  const auto& task = object_at<lua_task>(L, 1);
  task_header* above = task.settled() ? nullptr : task.parent_task();
  const lua_task* parent = above ? to_lua_task(*above, v) : nullptr;
  if (parent)
    v.push_handle(L, parent->slot);
  else
    lua_pushnil(L);
  return 1;
}

reply labels_body(lua_State* L, vm&) {
  if (!object_at<lua_task>(L, 1).has_extras) return lua_pushnil(L), 1;
  lua_task::push_extras(L, 1);
  lua_getfield(L, -1, "labels");
  return 1;
}

// Properties stand among the methods (upvalue 1 of index_task), as light userdata that name the function to call.
struct property {
  const char* name;
  lua_CFunction read;
};
constexpr property properties[] = {
    {"id", protect::native<id_body>},
    {"name", protect::native<name_body>},
    {"parent", protect::native<parent_body>},
    {"labels", protect::native<labels_body>},
};

// __index of tasks.
int index_task(lua_State* L) {
  lua_settop(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TLIGHTUSERDATA) [[likely]]
    return 1;
  const auto* found = static_cast<const property*>(lua_touserdata(L, -1));
  return to_object<lua_task>(L, 1) ? found->read(L) : 0;
}

reply print_body(lua_State* L, vm&) {
  const auto& task = object_at<lua_task>(L, 1);
  push_name(L, task, 1);
  const char* state = to_string(task.shown_state());
  const auto id = static_cast<lua_Integer>(task.id);
  if (lua_isnil(L, -1))
    lua_pushfstring(L, "task %I [%s]", id, state);
  else
    lua_pushfstring(L, "task %I (%s) [%s]", id, lua_tostring(L, -1), state);
  return 1;
}

// The running task.

reply self_body(lua_State* L, vm& v) {
  if (!v.in_task()) return raise_text(v, "no task is running: run this with: perilune FILE");
  v.push_handle(L, v.running().slot);
  return 1;
}


reply after_yield(lua_State*, vm& v) { return v.running().cancel_pending() ? action::raise_cancel : 0; }

reply yield_body(lua_State* L, vm& v) {
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  return yield_then(v, after_yield);
}

reply cancel_requested_body(lua_State* L, vm& v) {
  lua_pushboolean(L, v.running().cancel_pending());
  return 1;
}

// peri.data: every access goes to the running task's own table.

void push_data(lua_State* L, vm& v) {
  lua_task& task = v.running();
  v.push_handle(L, task.slot);
  lua_task::push_extras(L, lua_gettop(L));
  if (lua_getfield(L, -1, "data") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "data");
    task.has_data = true;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

reply data_index(lua_State* L, vm& v) {
  if (!v.in_task() || !v.running().has_data) return lua_pushnil(L), 1;
  push_data(L, v);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

reply data_newindex(lua_State* L, vm& v) {
  if (!v.in_task()) return raise_text(v, "task-local data needs a running task");
  if (lua_isnil(L, 2)) return raise_text(v, "index is nil");
  push_data(L, v);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_rawset(L, -3);
  return 0;
}

reply data_next(lua_State* L, vm&) {
  lua_settop(L, 2);
  return lua_next(L, 1) ? 2 : (lua_pushnil(L), 1);
}

reply data_pairs(lua_State* L, vm& v) {
  lua_pushcfunction(L, protect::native<data_next>);
  if (v.in_task())
    push_data(L, v);
  else
    lua_newtable(L);
  lua_pushnil(L);
  return 3;
}

void push_data_proxy(lua_State* L) {
  push_object<data_proxy>(L, 0);
  constexpr library_function metamethods[] = {{"__index", protect::native<data_index>},
                                              {"__newindex", protect::native<data_newindex>},
                                              {"__pairs", protect::native<data_pairs>}};
  constexpr library_function* none = nullptr;
  define_type(L, type_name::data, "perilune.data", none, 0, metamethods, std::size(metamethods));
  set_type(L, type_name::data);
}

void define_task_type(lua_State* L) {
  constexpr library_function methods[] = {
      {"join", protect::native<join_body>},
      {"await", protect::native<await_body>},
      {"cancel", protect::native<cancel_body<perilune::cancel>>},
      {"kill", protect::native<cancel_body<perilune::kill>>},
      {"detach", protect::native<detach_body>},
      {"status", protect::native<status_body>},
      {"children", protect::native<children_body>},
      {"join_op", protect::native<make_operation<join_verb, lua_task>>},
  };
  constexpr library_function metamethods[] = {{"__tostring", protect::native<print_body>}};
  define_type(L, type_name::task, "perilune.task", methods, metamethods);
  push_type(L, type_name::task);
  lua_getfield(L, -1, "__index");
  for (const property& each : properties) {
    lua_pushlightuserdata(L, const_cast<property*>(&each));
    lua_setfield(L, -2, each.name);
  }
  lua_pushcclosure(L, index_task, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
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
  return raise_error(v, {error_kind::limit, "too many tasks: no more than " + std::to_string(most) + " at once", 0, {}});
}

namespace {

// What is detached in a run of an isolate belongs to the run all the same.
spawn_options within(const allowance* run, spawn_options options) noexcept {
  if (run && std::exchange(options.detached, false)) options.below = run->root;
  return options;
}

}  // namespace

lua_task& spawn_function(lua_State* L, vm& v, int arguments, const spawn_options& options, int option_table) {
  lua_task& task = push_object<lua_task>(L, lua_task::user_values, v);
  const int handle = lua_gettop(L);
  set_type(L, type_name::task);
  task.reports = v.running().reports;
  task.note_spawn_site(L, handle);
  inherit_data(L, task, handle);
  if (option_table) keep_options(L, task, handle, option_table);
  // A call of a C function and a new thread both have room for LUA_MINSTACK values.
  const bool many = arguments > LUA_MINSTACK / 2;
  if (many) luaL_checkstack(L, arguments + 2, "too many arguments to spawn");
  const std::uint32_t slot = v.take_slot(L);
  lua_State* thread = v.thread_of(slot);
  if (many && !lua_checkstack(thread, arguments + 4)) {
    v.free_slot(slot);
    luaL_checkstack(L, LUAI_MAXSTACK, "too many arguments to spawn");
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

void open_tasks(lua_State* L) {
  constexpr library_function functions[] = {
      {"spawn", protect::native<spawn_body>},
      {"spawn_below_task_", protect::native<spawn_below_task_body>},
      {"self", protect::native<self_body>},
      {"yield", protect::native<yield_body>},
      {"cancel_requested", protect::native<cancel_requested_body>},
  };
  set_functions(L, functions);
  define_task_type(L);
  push_data_proxy(L);
  lua_setfield(L, -2, "data");
}

}  // namespace perilune
