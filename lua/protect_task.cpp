// The body of a task: entering and resuming it, and keeping how it ended in its handle. See protect.hpp.
#include "allowance.hpp"
#include "error_object.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"
#include "region.hpp"
#include "traceback.hpp"
#include "vm.hpp"

namespace perilune {

namespace {

using namespace protect;

// Pushes the traceback of the error at `value`: the remembered one when it has passed a boundary, else from here.
void push_traceback(lua_State* L, lua_task& task, int value) {
  const int top = lua_gettop(L);
  value = lua_absindex(L, value);
  if (task.has_extras) {
    task.host->push_handle(L, task.slot);
    lua_task::push_extras(L, top + 1);
    lua_getfield(L, -1, "trace_value");
    const bool same = lua_rawequal(L, -1, value);
    if (same && lua_getfield(L, top + 2, "trace") == LUA_TSTRING) {
      lua_copy(L, -1, top + 1);
      lua_settop(L, top + 1);
      return;
    }
    lua_settop(L, top);
  }
  push_script_traceback(L, nullptr, 1);
}

// Makes the error object on top (popped) the failure of the task. It names the first task that failed of it.
void keep_failure(lua_State* L, lua_task& task) {
  error_object::watch(L, -1);
  task.host->push_handle(L, task.slot);
  if (lua_getiuservalue(L, -2, error_object::handle) == LUA_TNIL) {
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -4, error_object::handle);
  }
  lua_pop(L, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  lua_pop(L, 1);
  task.kind = result_kind::error;
}

// Makes the error at `value` the failure of the task, of this kind unless it has one.
void store_failure(lua_State* L, lua_task& task, int value, error_kind kind) {
  value = lua_absindex(L, value);
  if (to_object<error_object>(L, value) && !is_unwinding(L, value)) {
    lua_pushvalue(L, value);
  } else {
    error_object::push_new(L, *task.host, kind, true);
    const int object = lua_gettop(L);
    lua_pushvalue(L, value);
    lua_setiuservalue(L, object, error_object::value);
    push_traceback(L, task, value);
    error_object::set_field(L, object, "traceback");
  }
  keep_failure(L, task);
}

// Adds the error at `value` to those that the task's failure suppressed.
void suppress(lua_State* L, lua_task& task, int value) {
  value = lua_absindex(L, value);
  task.host->push_handle(L, task.slot);
  lua_getiuservalue(L, -1, 1);
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, value);
  lua_rawseti(L, -2, 1);
  add_suppressed(L, lua_gettop(L) - 1);
  lua_pop(L, 2);
}

// Keeps what is on top in the handle, whatever it is.
void store_in_handle(lua_State* L, lua_task& task, result_kind kind) {
  task.host->push_handle(L, task.slot);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  task.kind = kind;
}

// The one result is on top. What needs no collector is kept in the task itself.
void store_result(lua_State* L, lua_task& task) {
  switch (lua_type(L, -1)) {
    case LUA_TNIL:
      task.kind = result_kind::nil;
      return;
    case LUA_TBOOLEAN:
      task.kind = result_kind::boolean;
      task.scalar.boolean = lua_toboolean(L, -1) != 0;
      return;
    case LUA_TNUMBER:
      if (lua_isinteger(L, -1)) {
        task.kind = result_kind::integer;
        task.scalar.integer = lua_tointeger(L, -1);
      } else {
        task.kind = result_kind::number;
        task.scalar.number = lua_tonumber(L, -1);
      }
      return;
    default:
      store_in_handle(L, task, result_kind::object);
  }
}

// Keeps the results at 2.. of the stack (1 is the handler).
void store_results(lua_State* L, lua_task& task) {
  const int count = lua_gettop(L) - 1;
  if (count == 0) {
    task.kind = result_kind::none;
    return;
  }
  if (count == 1) return store_result(L, task);
  protect::need_stack(L, 4);
  lua_createtable(L, count, 1);
  for (int i = 1; i <= count; ++i) {
    lua_pushvalue(L, i + 1);
    lua_rawseti(L, -2, i);
  }
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");
  store_in_handle(L, task, result_kind::packed);
}

// A cancelled task's error object is made when somebody asks; only the cancellation is kept now.
void store_cancelled(lua_State* L, lua_task& task) {
  task.end = task_state::cancelled;
  task.host->push_handle(L, task.slot);
  error_object::push_cancellation(L, *task.host, static_cast<cancel_node&>(task).reason_in_force());
  lua_setiuservalue(L, -2, 1);
}

// The body has failed, or was cancelled and its closers raised: a failure either way.
void store_end_by_error(lua_State* L, lua_task& task, error_kind kind) {
  const int value = lua_gettop(L);
  protect::need_stack(L, LUA_MINSTACK);
  if (!task.has_error() && task.depth == 0) store_failure(L, task, value, kind);
  take_suppressed(L, task, 0);
  if (task.has_error()) {
    task.end = task_state::failed;
    if (lua_isnil(L, -1)) return;
    task.host->push_handle(L, task.slot);
    lua_getiuservalue(L, -1, 1);
    lua_pushvalue(L, -3);
    add_suppressed(L, lua_gettop(L) - 1);
  } else if (lua_isnil(L, -1)) {
    store_cancelled(L, task);
  } else {
    push_failure_of_closers(L, task);
    keep_failure(L, task);
    task.end = task_state::failed;
  }
}

int task_done(lua_State* L, int status, lua_KContext) {
  lua_task& task = vm_of(L).running();
  if (status == LUA_OK || status == LUA_YIELD) {
    store_results(L, task);
    task.end = task_state::returned;
  } else {
    if (status == LUA_ERRMEM) note_exhaustion(L, task);
    store_end_by_error(L, task, status == LUA_ERRMEM ? error_kind::limit : error_kind::error);
  }
  return 0;
}

}  // namespace

namespace protect {

int on_task_error(lua_State* L) {
  lua_task& task = vm_of(L).running();
  lua_settop(L, 1);
  if (task.has_error()) {
    if (is_unwinding(L, 1)) return 1;
    suppress(L, task, 1);
    task.host->push_handle(L, task.slot);
    lua_getiuservalue(L, 2, 1);
    lua_getiuservalue(L, 3, error_object::handle);
    if (lua_rawequal(L, 2, 4) && object_at<error_object>(L, 3).kind == error_kind::error)
      lua_getiuservalue(L, 3, error_object::value);
    else
      lua_settop(L, 3);
    return 1;
  }
  if (task.depth > 0) return on_guarded_error(L);
  store_failure(L, task, 1, error_kind::error);
  return 1;
}

int task_main(lua_State* L) {
  lua_task& task = vm_of(L).running();
  if (task.cancel_pending() && !task.elsewhere) {
    store_cancelled(L, task);
    return 0;
  }
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, task_done);
  return task_done(L, status, 0);
}

}  // namespace protect

namespace {

// What is left to do after a thread has ended, or has failed for want of memory to keep its end.
[[gnu::noinline]] void thread_ended(lua_task& task, int status) {
  while (task.top != &task) static_cast<region*>(static_cast<scope_node*>(task.top))->leave();
  if (status != LUA_OK) {
    if (task.end != task_state::cancelled) {
      task.end = task_state::failed;
      task.kind = result_kind::out_of_memory;
      task.scalar.integer = static_cast<lua_Integer>(task.host->flushes());
      task.host->note_memory_failure();
      if (task.run && task.host->memory().take_exhausted()) task.run->use_up_memory(task);
    }
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
  if (preempted) [[unlikely]]
    protect::resume_preempted(*this);
  v.begin_turn();
  int results = 0;
  const int how = lua_resume(thread, nullptr, leaf == thread ? incoming : 0, &results);
  const bool held = v.end_turn();
  v.set_running(outer);
  if (held) [[unlikely]]
    protect::report_long_turn(v, *this);
  if (how != LUA_YIELD)
    thread_ended(*this, how);
  else if (!v.suspending) [[unlikely]]
    yielded_by_foreign_code(*this, results);
}

}  // namespace perilune
