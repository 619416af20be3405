// What a task handle offers, and what a task asks about itself. See lua-api: Tasks.
#include <cstring>

#include "allowance.hpp"
#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "protect_handlers.hpp"
#include "traceback.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

struct data_proxy {
  static constexpr std::uint64_t tag = 0x64617461'c05b1e37ULL;
};

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

reply print_body(lua_State* L, vm& v) {
  const lua_task* task = to_object<lua_task>(L, 1);
  if (!task) return bad_argument(v, 1, "a task expected", L);
  push_name(L, *task, 1);
  const char* state = to_string(task->shown_state());
  const auto id = static_cast<lua_Integer>(task->id);
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
  v.running().asks = true;
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

reply data_next(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return bad_argument(v, 1, "a table expected", L);
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
  constexpr library_function metamethods[] = {{"__index", protect::native<data_index>},
                                              {"__newindex", protect::native<data_newindex>},
                                              {"__pairs", protect::native<data_pairs>}};
  define_type(L, type_name::data, "perilune.data", {}, metamethods);
  push_object<data_proxy>(L, type_name::data, 0);
}

}  // namespace

reason_ptr asked_by_running_task(vm& v, std::string text) {
  if (!v.in_task()) return reason_ptr::make(cancel_source::cancel, std::move(text), 0, "host");
  return v.tasks().asked_by_current(std::move(text));
}

void open_tasks(lua_State* L) {
  constexpr library_function functions[] = {
      {"self", protect::native<self_body>},
      {"yield", protect::native<yield_body>},
      {"cancel_requested", protect::native<cancel_requested_body>},
  };
  set_functions(L, functions);
  push_data_proxy(L);
  lua_setfield(L, -2, "data");
}

void define_task(lua_State* L) {
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
  push_metatable(L, "perilune.task", methods, metamethods);
  lua_getfield(L, -1, "__index");
  for (const property& each : properties) {
    lua_pushlightuserdata(L, const_cast<property*>(&each));
    lua_setfield(L, -2, each.name);
  }
  lua_pushcclosure(L, index_task, 1);
  lua_setfield(L, -2, "__index");
  keep_type(L, type_name::task);
}

}  // namespace perilune
