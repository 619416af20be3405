// Every raise, yield, resume and protected call of the binding. See protect.hpp.
//
// Cancellation is an error whose value is a cancellation object. `depth` counts those raised and not yet caught by their
// region; a protected call remembers the depth at its entry, and when it sees a higher one the error is a cancellation on
// its way, whatever value it has by now, and goes on. `guard` is the depth at the entry of the innermost protected call:
// the message handler uses it to tell an error of a closer that runs during such an unwinding from any other.
//
// Suspension is a yield with vm::suspending set. Nested coroutines pass it outward one by one; waking passes inward again.
#include "protect.hpp"

#include <cstdio>
#include <cstring>
#include <new>

#include "boundary_name.hpp"
#include "error_object.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"
#include "region.hpp"
#include "traceback.hpp"

namespace perilune {

namespace {

constexpr lua_KContext pack(std::uint32_t depth, std::uint32_t guard) noexcept {
  return static_cast<lua_KContext>((static_cast<std::uint64_t>(guard) << 32) | depth);
}
constexpr std::uint32_t depth_of(lua_KContext context) noexcept { return static_cast<std::uint32_t>(context); }
constexpr std::uint32_t guard_of(lua_KContext context) noexcept {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(context) >> 32);
}

bool is_cancellation(lua_State* L, int index) noexcept {
  const error_object* e = to_object<error_object>(L, index);
  return e && e->is_cancellation;
}

// Pushes the cancellation in force for the running task.
void push_cancellation_in_force(lua_State* L, lua_task& task) {
  error_object::push_cancellation(L, *task.host, task.cancel_target().reason_in_force());
}

[[noreturn]] void raise_cancellation(lua_State* L, lua_task& task) {
  push_cancellation_in_force(L, task);
  ++task.depth;
  lua_error(L);
  __builtin_unreachable();
}

// Goes on with a cancellation that a protected call or a coroutine has seen; the error is on top.
int pass_cancellation(lua_State* L, lua_task& task) {
  if (!is_cancellation(L, -1)) push_cancellation_in_force(L, task);
  return lua_error(L);
}

// An error raised by a closer while a cancellation unwinds: kept for the outcome.
void keep_suppressed(lua_State* L, lua_task& task, int index) {
  if (!task.host->in_task()) return;
  index = lua_absindex(L, index);
  vm::push_registry(L, registry_slot::slots);
  lua_rawgeti(L, -1, 2 * static_cast<lua_Integer>(task.slot) + 2);
  lua_task::push_extras(L, lua_gettop(L));
  if (lua_getfield(L, -1, "suppressed") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "suppressed");
  }
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
  lua_pop(L, 4);
}

}  // namespace

namespace protect {

// The message handler of pcall, coroutines and regions: keeps a cancellation going through raising closers.
int on_guarded_error(lua_State* L) {
  lua_task& task = vm_of(L).running();
  if (task.depth > task.guard && !is_cancellation(L, 1)) {
    keep_suppressed(L, task, 1);
    push_cancellation_in_force(L, task);
  }
  return 1;
}

// Remembers the traceback of an error that leaves a coroutine or a region, where its stack ends.
int on_boundary_error(lua_State* L) {
  on_guarded_error(L);
  lua_copy(L, -1, 1);
  lua_settop(L, 1);
  vm& v = vm_of(L);
  if (is_cancellation(L, -1) || to_object<error_object>(L, -1) || !v.in_task()) return 1;
  lua_task& task = v.running();
  const int value = lua_gettop(L);
  v.push_handle(L, task.slot);
  lua_task::push_extras(L, lua_gettop(L));
  lua_getfield(L, -1, "trace_value");
  if (!lua_rawequal(L, -1, value)) {
    push_script_traceback(L, nullptr, 1);
    lua_setfield(L, -3, "trace");
    lua_pushvalue(L, value);
    lua_setfield(L, -3, "trace_value");
  }
  lua_settop(L, value);
  return 1;
}

}  // namespace protect

namespace {

using protect::on_boundary_error;
using protect::on_guarded_error;

// Pushes the traceback of the error at `value`: the remembered one when it has passed a boundary, else from here.
void push_traceback(lua_State* L, lua_task& task, int value) {
  task.host->push_handle(L, task.slot);
  if (task.has_extras) {
    lua_task::push_extras(L, lua_gettop(L));
    lua_getfield(L, -1, "trace_value");
    const bool same = lua_rawequal(L, -1, value);
    lua_pop(L, 1);
    if (same && lua_getfield(L, -1, "trace") == LUA_TSTRING) {
      lua_replace(L, -3);
      lua_pop(L, 1);
      return;
    }
  }
  push_script_traceback(L, nullptr, 1);
  lua_replace(L, value + 1);
  lua_settop(L, value + 1);
}

void move_suppressed(lua_State* L, lua_task& task, int handle, int object) {
  if (!task.has_extras) return;
  lua_task::push_extras(L, handle);
  if (lua_getfield(L, -1, "suppressed") == LUA_TTABLE)
    error_object::set_field(L, object, "suppressed");
  else
    lua_pop(L, 1);
  lua_pop(L, 1);
}

// Makes the error at `value` the failure of the task: the object is stored in the handle.
void store_failure(lua_State* L, lua_task& task, int value, bool during_cancel) {
  vm& v = *task.host;
  push_traceback(L, task, value);
  const int trace = lua_gettop(L);
  v.push_handle(L, task.slot);
  const int handle = lua_gettop(L);
  if (error_object* known = to_object<error_object>(L, value); known && !known->is_cancellation) {
    lua_pushvalue(L, value);
    error_object::watch(L, -1);
  } else {
    error_object& made = error_object::push_new(L, v, error_kind::error, true);
    made.during_cancel = during_cancel;
    lua_pushvalue(L, value);
    lua_setiuservalue(L, -2, error_object::value);
    lua_pushvalue(L, handle);
    lua_setiuservalue(L, -2, error_object::handle);
    lua_pushvalue(L, trace);
    error_object::set_field(L, -2, "traceback");
    move_suppressed(L, task, handle, lua_gettop(L));
  }
  lua_setiuservalue(L, handle, 1);
  task.kind = result_kind::error;
  lua_settop(L, trace - 1);
}

}  // namespace

namespace protect {

// The message handler of a task's body. The first error is the task's; those of closers that follow are suppressed.
int on_task_error(lua_State* L) {
  lua_task& task = vm_of(L).running();
  lua_settop(L, 1);
  if (task.has_error()) {
    task.host->push_handle(L, task.slot);
    lua_getiuservalue(L, -1, 1);
    const int object = lua_gettop(L);
    if (is_cancellation(L, 1)) return 1;
    error_object::push_field(L, object, "suppressed");
    if (lua_type(L, -1) != LUA_TTABLE) {
      lua_newtable(L);
      lua_pushvalue(L, -1);
      error_object::set_field(L, object, "suppressed");
    }
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
    lua_getiuservalue(L, object, error_object::value);
    return 1;
  }
  if (is_cancellation(L, 1) && task.depth > 0) return 1;
  store_failure(L, task, 1, task.depth > 0);
  if (task.depth > 0) push_cancellation_in_force(L, task);
  return 1;
}

}  // namespace protect

namespace {

// Keeps the results at 2.. of the stack (1 is the handler) in the handle.
void store_results(lua_State* L, lua_task& task) {
  const int count = lua_gettop(L) - 1;
  if (count == 0) {
    task.kind = result_kind::none;
    return;
  }
  if (count == 1) {
    switch (lua_type(L, 2)) {
      case LUA_TNIL:
        task.kind = result_kind::nil;
        return;
      case LUA_TBOOLEAN:
        task.kind = result_kind::boolean;
        task.scalar.boolean = lua_toboolean(L, 2) != 0;
        return;
      case LUA_TNUMBER:
        if (lua_isinteger(L, 2)) {
          task.kind = result_kind::integer;
          task.scalar.integer = lua_tointeger(L, 2);
        } else {
          task.kind = result_kind::number;
          task.scalar.number = lua_tonumber(L, 2);
        }
        return;
      default:
        task.host->push_handle(L, task.slot);
        lua_pushvalue(L, 2);
        lua_setiuservalue(L, -2, 1);
        task.kind = result_kind::object;
        return;
    }
  }
  lua_createtable(L, count, 1);
  for (int i = 1; i <= count; ++i) {
    lua_pushvalue(L, i + 1);
    lua_rawseti(L, -2, i);
  }
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");
  task.host->push_handle(L, task.slot);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  task.kind = result_kind::packed;
}

// A cancelled task's error object is made when somebody asks; only what closers raised is kept now.
void store_cancelled(lua_State* L, lua_task& task) {
  task.host->push_handle(L, task.slot);
  const int handle = lua_gettop(L);
  error_object::push_cancellation(L, *task.host, static_cast<cancel_node&>(task).reason_in_force());
  lua_setiuservalue(L, handle, 1);
}

int task_done(lua_State* L, int status, lua_KContext) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  while (task.top != &task) static_cast<region*>(static_cast<scope_node*>(task.top))->leave();
  if (status == LUA_OK || status == LUA_YIELD) {
    store_results(L, task);
    task.end = task_state::returned;
  } else if (task.has_error()) {
    task.end = task_state::failed;
  } else if (task.depth > 0) {
    store_cancelled(L, task);
    task.end = task_state::cancelled;
  } else {
    store_failure(L, task, lua_gettop(L), false);
    task.end = task_state::failed;
  }
  return 0;
}

int resumed(lua_State* L, int, lua_KContext context) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  task.become(wait_state::idle);
  if (task.woken_by != wake_kind::granted) abandon_select(v, task);
  if (task.woken_by == wake_kind::cancelled) raise_cancellation(L, task);
  if (task.woken_by == wake_kind::deadlock) {
    task.woken_by = wake_kind::granted;
    const wait_description wait = task.op ? task.op->describe() : wait_description{"wait", "operation", nullptr};
    v.problem = {error_kind::deadlock, std::string("deadlock: nothing can end the wait in ") + wait.verb + " on a " + wait.resource, 0, {}};
    return protect::conclude(L, action::raise_problem);
  }
  return protect::conclude(L, protect::guard(reinterpret_cast<native_body>(context), L, v));
}

int suspend(lua_State* L, vm& v) {
  lua_task& task = v.running();
  task.leaf = L;
  task.incoming = 0;
  v.suspending = true;
  return lua_yieldk(L, 0, reinterpret_cast<lua_KContext>(v.continuation), resumed);
}

int region_done(lua_State* L, int status, lua_KContext context);

int region_drained(lua_State* L, int, lua_KContext) {
  vm& v = vm_of(L);
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  task.become(wait_state::idle);
  if (r.child_tasks && (r.nursery || !r.body_ok) && v.tasks().park_until_drained(task, r)) {
    task.leaf = L;
    task.incoming = 0;
    v.suspending = true;
    return lua_yieldk(L, 0, 0, region_drained);
  }
  r.closed = true;
  r.cut = r.cut || (r.body_ok && r.has(cancel_node::cancelled) && &task.cancel_target() == &r);
  const bool passing = r.passing;
  r.bond.release();
  r.leave();
  if (passing) return pass_cancellation(L, task);
  return protect::conclude(L, r.conclude(L, v, r));
}

int run_region(lua_State* L, vm& v) {
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  r.outer_depth = task.depth;
  r.outer_guard = task.guard;
  task.guard = task.depth;
  r.enter(task, r.shield);
  if (r.limited) r.set_deadline(r.deadline_ns);
  if (token_state* token = std::exchange(r.bind_to, nullptr)) {
    r.bond.bind(*token, r);
    token->release();
  }
  const int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, region_done);
  return region_done(L, status, 0);
}

int region_done(lua_State* L, int status, lua_KContext) {
  vm& v = vm_of(L);
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  task.guard = r.outer_guard;
  r.body_ok = status == LUA_OK || status == LUA_YIELD;
  r.failed_before_body = r.failed_members;
  if (!r.body_ok) {
    if (task.depth > r.outer_depth) {
      task.depth = r.outer_depth;
      if (r.has(cancel_node::cancelled) && &task.cancel_target() == &r) {
        r.cut = true;
      } else if (r.cancel_node::parent->has(cancel_node::cancelled)) {
        r.passing = true;
        ++task.depth;
      }
    }
    cancel(r, reason_ptr::make(cancel_source::scope, {}, task.id, "scope"));
  }
  if (r.nursery)
    r.release_strangers();
  else
    r.clear_deadline();
  return region_drained(L, LUA_OK, 0);
}

int pcall_done(lua_State* L, int status, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  task.guard = guard_of(context);
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushboolean(L, 1);
    lua_replace(L, 1);
    return lua_gettop(L);
  }
  if (task.depth > depth_of(context)) return pass_cancellation(L, task);
  if (lua_touserdata(L, -1) == &protect::close_request) return lua_error(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

// xpcall's handler, with the script's own as upvalue: it never sees a cancellation, and its failure is Lua's usual one.
int on_xpcall_error(lua_State* L) {
  lua_task& task = vm_of(L).running();
  if (task.depth > task.guard) return on_guarded_error(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  const int status = lua_pcall(L, 1, 1, 0);
  if (status != LUA_OK) lua_pushliteral(L, "error in error handling");
  return 1;
}

}  // namespace

namespace protect {

reply keep_exception(vm& v) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    v.problem = {error_kind::limit, "not enough memory", 0, {}};
  } catch (...) {
    v.problem = describe_exception(std::current_exception());
  }
  return action::raise_problem;
}

int conclude_slow(lua_State* L, reply r) {
  vm& v = vm_of(L);
  switch (r) {
    case action::raise_top:
      return lua_error(L);
    case action::raise_message:
      lua_pushlstring(L, v.message.data(), v.message.size());
      luaL_where(L, 1);
      lua_insert(L, -2);
      lua_concat(L, 2);
      return lua_error(L);
    case action::raise_argument:
      lua_pushlstring(L, v.message.data(), v.message.size());
      return luaL_argerror(L, v.argument, lua_tostring(L, -1));
    case action::raise_cancel:
      raise_cancellation(L, v.running());
    case action::raise_problem:
      error_object::push_engine_error(L, v, v.problem);
      return lua_error(L);
    case action::suspend:
      return suspend(L, v);
    case action::run_region:
      return run_region(L, v);
    case action::call_plain:
      lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0,
                [](lua_State* l, int, lua_KContext) { return lua_gettop(l); });
      return lua_gettop(L);
    case action::exit_host:
      raise_cancellation(L, v.running());
    default:
      push_boundary_name(L, v.running());
      luaL_where(L, 1);
      lua_insert(L, -2);
      lua_concat(L, 2);
      return lua_error(L);
  }
}

int task_main(lua_State* L) {
  lua_task& task = vm_of(L).running();
  if (task.cancel_pending()) {
    store_cancelled(L, task);
    task.end = task_state::cancelled;
    return 0;
  }
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, task_done);
  return task_done(L, status, 0);
}

int pcall(lua_State* L) {
  luaL_checkany(L, 1);
  lua_task& task = vm_of(L).running();
  const lua_KContext context = pack(task.depth, task.guard);
  task.guard = task.depth;
  lua_pushcfunction(L, on_guarded_error);
  lua_insert(L, 1);
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, context, pcall_done);
  return pcall_done(L, status, context);
}

int xpcall(lua_State* L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_task& task = vm_of(L).running();
  const lua_KContext context = pack(task.depth, task.guard);
  task.guard = task.depth;
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, on_xpcall_error, 1);
  lua_replace(L, 2);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 1);
  lua_remove(L, 1);
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, context, pcall_done);
  return pcall_done(L, status, context);
}

int critical(lua_State* L) {
  luaL_checkany(L, 1);
  lua_task& task = vm_of(L).running();
  const std::uint32_t depth = task.depth;
  const std::uint32_t guard = task.guard;
  task.guard = depth;
  ++task.critical;
  lua_pushcfunction(L, on_boundary_error);
  lua_insert(L, 1);
  const int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  --task.critical;
  task.guard = guard;
  if (status == LUA_OK) return lua_gettop(L) - 1;
  if (task.depth > depth) return pass_cancellation(L, task);
  return lua_error(L);
}

bool suspendable(lua_State* L, const lua_task& task) noexcept {
  return task.host->in_task() && task.blocked_links == 0 && task.critical == 0 && lua_isyieldable(L);
}

void call(lua_State* L, int arguments, int results) { lua_call(L, arguments, results); }

bool call_outside(lua_State* L, int (*fn)(lua_State*), void* data, std::string* problem) noexcept {
  struct packed_call {
    int (*fn)(lua_State*);
    void* data;
  };
  const auto enter = [](lua_State* l) {
    auto* call = static_cast<packed_call*>(lua_touserdata(l, 1));
    lua_settop(l, 0);
    lua_pushlightuserdata(l, call->data);
    return call->fn(l);
  };
  packed_call call{fn, data};
  if (!lua_checkstack(L, 4)) {
    if (problem) *problem = "not enough memory";
    return false;
  }
  lua_pushcfunction(L, enter);
  lua_pushlightuserdata(L, &call);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return true;
  const char* text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error without a message";
  if (problem) *problem = text;
  lua_pop(L, 1);
  return false;
}

}  // namespace protect

reply bad_argument(vm& v, int argument, const char* expected, lua_State* L) {
  v.argument = argument;
  v.message = expected;
  v.message += ", got ";
  switch (lua_type(L, argument)) {
    case LUA_TNUMBER: {
      char text[48];
      if (lua_isinteger(L, argument))
        std::snprintf(text, sizeof text, "%lld", static_cast<long long>(lua_tointeger(L, argument)));
      else
        std::snprintf(text, sizeof text, "%.14g", lua_tonumber(L, argument));
      v.message += text;
      break;
    }
    case LUA_TNONE:
      v.message += "no value";
      break;
    default:
      v.message += lua_typename(L, lua_type(L, argument));
  }
  return action::raise_argument;
}

reply raise_text(vm& v, std::string text) {
  v.message = std::move(text);
  return action::raise_message;
}

reply raise_error(vm& v, error problem) {
  v.problem = std::move(problem);
  return action::raise_problem;
}

reply wait_for(lua_State* L, vm& v, operation& op, native_body then) {
  lua_task& task = v.running();
  if (!protect::suspendable(L, task)) return action::raise_unsuspendable;
  task.selecting = nullptr;
  task.note_closed = false;
  v.tasks().park(task, op);
  v.continuation = then;
  return action::suspend;
}

reply yield_and_retry(lua_State* L, vm& v, native_body again) {
  lua_task& task = v.running();
  if (!protect::suspendable(L, task)) return again(L, v);
  v.tasks().yield(task);
  v.continuation = again;
  return action::suspend;
}

reply pushed_results(lua_State*, vm& v) { return v.running().incoming; }

namespace {

// What is left to do after a thread has ended or was refused by Lua itself.
[[gnu::noinline]] void thread_ended(lua_task& task, int status) {
  if (status != LUA_OK) {
    task.end = task_state::failed;
    task.kind = result_kind::out_of_memory;
    lua_resetthread(task.thread);
  }
  lua_settop(task.thread, 0);
  task.home->body_ended(task, task.end);
}

// A foreign C function yielded: the others run, and the task goes on.
[[gnu::noinline]] void yielded_by_foreign_code(lua_task& task, int results) {
  lua_pop(task.thread, results);
  task.leaf = task.thread;
  task.incoming = 0;
  task.home->yield(task);
}

}  // namespace

// Kept flat: a yield leaves by a long jump, after which every return on the way out is mispredicted.
void lua_task::resume() {
  vm& v = *host;
  lua_task& outer = v.running();
  v.set_running(*this);
  v.suspending = false;
  mark(trait::started);
  ++resumes;
  int results = 0;
  const int how = lua_resume(thread, nullptr, leaf == thread ? incoming : 0, &results);
  v.set_running(outer);
  if (how != LUA_YIELD)
    thread_ended(*this, how);
  else if (!v.suspending) [[unlikely]]
    yielded_by_foreign_code(*this, results);
}

}  // namespace perilune
