// Raising, keeping and passing on cancellations and close requests. See protect_handlers.hpp.
#include "allowance.hpp"
#include "error_object.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"
#include "traceback.hpp"
#include "vm.hpp"

namespace perilune::protect {

namespace {

bool closes_coroutine(const lua_task& task) noexcept { return task.closing && !task.cancel_pending(); }

void append(lua_State* L, int list, int value) {
  lua_pushvalue(L, value);
  lua_rawseti(L, list, static_cast<lua_Integer>(lua_rawlen(L, list)) + 1);
}

// Pushes the table at `name` of the table at `index`, making it when needed.
void push_subtable(lua_State* L, int index, const char* name) {
  if (lua_getfield(L, index, name) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, index, name);
}

// Pushes the table of the task's rarely used parts.
void push_extras(lua_State* L, lua_task& task) {
  task.host->push_handle(L, task.slot);
  lua_task::push_extras(L, lua_gettop(L));
  lua_remove(L, -2);
}

// Keeps what a closer raised while the task unwound; the first with its traceback.
void keep_suppressed(lua_State* L, lua_task& task, int value) {
  if (!task.host->in_task()) return;
  const int top = lua_gettop(L);
  push_extras(L, task);
  if (closes_coroutine(task)) {
    push_subtable(L, top + 1, "close_errors");
    lua_pushthread(L);
    lua_pushvalue(L, value);
    lua_rawset(L, -3);
  } else {
    push_subtable(L, top + 1, "suppressed");
    append(L, top + 2, value);
    if (++task.suppressed == 1) {
      push_script_traceback(L, nullptr, 1);
      lua_setfield(L, top + 1, "suppressed_trace");
    }
  }
  lua_settop(L, top);
}

}  // namespace

bool is_unwinding(lua_State* L, int index) noexcept {
  const error_object* e = to_object<error_object>(L, index);
  return e && (e->is_cancellation || e->is_close_request);
}

void push_unwinding_in_force(lua_State* L, lua_task& task) {
  if (closes_coroutine(task)) return vm::push_registry(L, registry_slot::close_request);
  error_object::push_cancellation(L, *task.host, task.cancel_target().reason_in_force());
}

void raise_cancellation(lua_State* L, lua_task& task) {
  error_object::push_cancellation(L, *task.host, task.cancel_target().reason_in_force());
  ++task.depth;
  lua_error(L);
  __builtin_unreachable();
}

void note_exhaustion(lua_State* L, lua_task& task) {
  if (!task.run || !task.host->memory().take_exhausted()) return;
  task.run->use_up_memory(task);
  if (!task.cancel_pending()) return;
  ++task.depth;
  push_unwinding_in_force(L, task);
  lua_replace(L, -2);
}

int pass_unwinding(lua_State* L, lua_task& task) {
  if (!is_unwinding(L, -1)) push_unwinding_in_force(L, task);
  return lua_error(L);
}

void take_suppressed(lua_State* L, lua_task& task, std::uint32_t kept) {
  if (task.suppressed <= kept) return lua_pushnil(L);
  const int top = lua_gettop(L);
  lua_newtable(L);
  push_extras(L, task);
  lua_getfield(L, -1, "suppressed");
  for (std::uint32_t i = kept + 1; i <= task.suppressed; ++i) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, top + 1, i - kept);
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  task.suppressed = kept;
  lua_settop(L, top + 1);
}

bool take_close_error(lua_State* L, lua_task& task, lua_State* coroutine) {
  if (!task.host->in_task() || !task.has_extras) return false;
  const int table = lua_gettop(L) + 1;
  bool found = false;
  push_extras(L, task);
  if (lua_getfield(L, table, "close_errors") == LUA_TTABLE) {
    lua_pushthread(coroutine);
    lua_xmove(coroutine, L, 1);
    lua_pushvalue(L, -1);
    found = lua_rawget(L, table + 1) != LUA_TNIL;
    lua_copy(L, -1, table);
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, table + 1);
  }
  lua_settop(L, found ? table : table - 1);
  return found;
}

void add_suppressed(lua_State* L, int object) {
  const int added = lua_gettop(L);
  error_object::push_field(L, object, "suppressed");
  if (lua_type(L, -1) == LUA_TTABLE) {
    for (lua_Integer i = 1; lua_rawgeti(L, added, i) != LUA_TNIL; ++i) {
      append(L, added + 1, added + 2);
      lua_settop(L, added + 1);
    }
  } else {
    lua_pushvalue(L, added);
    error_object::set_field(L, object, "suppressed");
  }
  lua_settop(L, added - 1);
}

void push_failure_of_closers(lua_State* L, lua_task& task) {
  const int list = lua_gettop(L);
  lua_rawgeti(L, list, 1);
  if (error_object* known = to_object<error_object>(L, -1); known && !is_unwinding(L, -1)) {
    known->during_cancel = true;
  } else {
    error_object::push_new(L, *task.host, error_kind::error, false).during_cancel = true;
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, error_object::value);
    task.host->push_handle(L, task.slot);
    lua_setiuservalue(L, -2, error_object::handle);
    push_extras(L, task);
    lua_getfield(L, -1, "suppressed_trace");
    error_object::set_field(L, list + 1, "traceback");
    lua_settop(L, list + 1);
  }
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, list));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, list, i + 1);
    lua_rawseti(L, list, i);
  }
  lua_insert(L, list);
  if (count > 1)
    add_suppressed(L, list);
  else
    lua_pop(L, 1);
}

int on_guarded_error(lua_State* L) {
  lua_task& task = vm_of(L).running();
  if (task.depth > task.guard && !is_unwinding(L, 1)) {
    keep_suppressed(L, task, 1);
    push_unwinding_in_force(L, task);
  }
  return 1;
}

int on_boundary_error(lua_State* L) {
  on_guarded_error(L);
  lua_copy(L, -1, 1);
  lua_settop(L, 1);
  vm& v = vm_of(L);
  if (to_object<error_object>(L, 1) || !v.in_task()) return 1;
  push_extras(L, v.running());
  lua_getfield(L, 2, "trace_value");
  if (!lua_rawequal(L, 3, 1)) {
    push_script_traceback(L, nullptr, 1);
    lua_setfield(L, 2, "trace");
    lua_pushvalue(L, 1);
    lua_setfield(L, 2, "trace_value");
  }
  lua_settop(L, 1);
  return 1;
}

}  // namespace perilune::protect
