// What native functions ask for when they return: raising, suspending, calling; and pcall, xpcall. See protect.hpp.
//
// Suspension is a yield with vm::suspending set. Nested coroutines pass it outward one by one; waking passes inward again.
#include "protect.hpp"

#include <cstdio>
#include <cstring>
#include <new>

#include "boundary_name.hpp"
#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"
#include "traceback.hpp"

namespace perilune {

using namespace protect;

namespace {

// Replaces the error on top by an error object of this kind, with the traceback from here.
void make_failure(lua_State* L, error_kind kind) {
  error_object::push_new(L, vm_of(L), kind, false);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, error_object::value);
  push_script_traceback(L, nullptr, 1);
  error_object::set_field(L, -2, "traceback");
}

int make_traced(lua_State* L) {
  if (!to_object<error_object>(L, 1)) make_failure(L, error_kind::error);
  return 1;
}

constexpr lua_KContext pack(std::uint32_t depth, std::uint32_t guard) noexcept {
  return static_cast<lua_KContext>((static_cast<std::uint64_t>(guard) << 32) | depth);
}
constexpr std::uint32_t depth_of(lua_KContext context) noexcept { return static_cast<std::uint32_t>(context); }
constexpr std::uint32_t guard_of(lua_KContext context) noexcept {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(context) >> 32);
}

// Nothing can end the wait of the task: keeps the error that says so.
reply note_deadlock(vm& v, lua_task& task) {
  const wait_description wait =
      task.op ? task.op->describe() : wait_description{"select", "set of operations", nullptr};
  task.woken_by = wake_kind::granted;
  return raise_error(v, v.tasks().take_deadlock(task, wait));
}

int resumed(lua_State* L, int, lua_KContext context) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  task.become(wait_state::idle);
  if (task.woken_by != wake_kind::granted) [[unlikely]] {
    abandon_select(v, task);
    if (task.woken_by == wake_kind::cancelled) raise_cancellation(L, task);
    return conclude(L, v, note_deadlock(v, task));
  }
  return conclude(L, v, protect::guard(reinterpret_cast<native_body>(context), L, v));
}

// A call that closes has returned.
int called(lua_State* L, int, lua_KContext context) {
  vm& v = vm_of(L);
  return conclude(L, v, protect::guard(reinterpret_cast<native_body>(context), L, v));
}

int pcall_done(lua_State* L, int status, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  task.guard = guard_of(context);
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushboolean(L, 1);
    lua_replace(L, 1);
    return lua_gettop(L);
  }
  if (status == LUA_ERRMEM) [[unlikely]]
    note_exhaustion(L, task);
  if (task.depth > depth_of(context)) return pass_unwinding(L, task);
  protect::charge_depth(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

// xpcall's handler, with the script's own as upvalue: it never sees a cancellation. Its own failure is Lua's usual one,
// except that of a wait in it, which says what is wrong.
int on_xpcall_error(lua_State* L) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  if (task.depth > task.guard) return on_guarded_error(L);
  const lua_CFunction handler = lua_tocfunction(L, lua_upvalueindex(1));
  if (handler && handler == v.stock_traceback && lua_isstring(L, 1))
    return push_traceback(L, L, lua_tostring(L, 1), 1), 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  const std::uint32_t depth = task.depth;
  v.refused_to_suspend = false;
  const int status = lua_pcall(L, 1, 1, 0);
  if (status != LUA_OK && task.depth == depth && !v.refused_to_suspend) lua_pushliteral(L, "error in error handling");
  return 1;
}

}  // namespace

namespace protect {

void check_depth(lua_State* L) {
  constexpr int deepest = 20'000;
  lua_Debug frame;
  if (lua_getstack(L, deepest, &frame)) luaL_error(L, "stack overflow (protected calls end at a depth of %d)", deepest);
}

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

int suspend(lua_State* L, vm& v) {
  lua_task& task = v.running();
  task.leaf = L;
  task.incoming = 0;
  v.suspending = true;
  return lua_yieldk(L, 0, reinterpret_cast<lua_KContext>(v.continuation), resumed);
}

int conclude_otherwise(lua_State* L, vm& v, reply r) {
  switch (r) {
    case action::raise_top:
      return lua_error(L);
    case action::raise_message:
      lua_pushlstring(L, v.message.data(), v.message.size());
      push_caller_position(L);
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
    case action::run_region:
      return run_region(L, v);
    case action::call_plain:
      lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, [](lua_State* l, int, lua_KContext) { return lua_gettop(l); });
      return lua_gettop(L);
    case action::call_closing: {
      const auto then = reinterpret_cast<lua_KContext>(v.continuation);
      lua_toclose(L, 2);
      lua_callk(L, lua_gettop(L) - 3, LUA_MULTRET, then, called);
      return called(L, LUA_OK, then);
    }
    case action::exit_host:
      raise_cancellation(L, v.running());
    default:
      v.refused_to_suspend = true;
      push_boundary_name(L, v.running());
      push_caller_position(L);
      lua_insert(L, -2);
      lua_concat(L, 2);
      return lua_error(L);
  }
}

int pcall(lua_State* L) {
  luaL_checkany(L, 1);
  check_depth(L);
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
  check_depth(L);
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

// Lua's own load catches what a reader raises, or the parser, while the handler of the task is still in force: this keeps an error
// that load returns from being the task's failure, and a cancellation from being a result.
int load(lua_State* L) {
  if (!lua_isstring(L, 1)) luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_optstring(L, 2, nullptr);
  luaL_optstring(L, 3, nullptr);
  vm& v = vm_of(L);
  lua_task& task = v.running();
  const std::uint32_t depth = task.depth;
  const std::uint32_t guard = task.guard;
  task.guard = depth;
  lua_pushcfunction(L, on_guarded_error);
  lua_insert(L, 1);
  lua_pushcfunction(L, v.stock_load);
  lua_insert(L, 2);
  const int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  task.guard = guard;
  if (status == LUA_ERRMEM) note_exhaustion(L, task);
  if (task.depth > depth) return pass_unwinding(L, task);
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

int critical(lua_State* L) {
  if (!is_callable(L, 1)) luaL_typeerror(L, 1, "a function");
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
  if (status == LUA_ERRMEM) note_exhaustion(L, task);
  if (task.depth > depth) return pass_unwinding(L, task);
  return lua_error(L);
}

bool calls_back(lua_CFunction function) noexcept {
  return function == pcall || function == xpcall || function == task_main || is_coroutine_frame(function);
}

bool is_message_handler(lua_CFunction function) noexcept { return function == on_xpcall_error; }

void call(lua_State* L, int arguments, int results) { lua_call(L, arguments, results); }

void need_stack(lua_State* L, int values, const char* what) { luaL_checkstack(L, values, what); }

bool try_call(lua_State* L, int arguments, int results) noexcept {
  return lua_pcall(L, arguments, results, 0) == LUA_OK;
}

bool call_traced(lua_State* L, int arguments, int results) {
  const int function = lua_gettop(L) - arguments;
  lua_pushcfunction(L, make_traced);
  lua_insert(L, function);
  const int status = lua_pcall(L, arguments, results, function);
  if (status == LUA_ERRMEM) make_failure(L, error_kind::limit);
  lua_remove(L, function);
  return status == LUA_OK;
}

namespace {

// Calls itself, which leaves call records and stack behind for those who are called next.
int make_room(lua_State* L) {
  const lua_Integer depth = lua_tointeger(L, 1);
  protect::need_stack(L, 2 * LUA_MINSTACK);
  if (depth == 0) return 0;
  lua_pushcfunction(L, make_room);
  lua_pushinteger(L, depth - 1);
  lua_call(L, 1, 0);
  return 0;
}

}  // namespace

void collect_with_room(lua_State* L) {
  constexpr lua_Integer nested_calls = 8;
  lua_pushcfunction(L, make_room);
  lua_pushinteger(L, nested_calls);
  lua_call(L, 1, 0);
  lua_gc(L, LUA_GCCOLLECT);
}

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
  vm::main_in_use use(vm_of(L));
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

std::string what_was_given(lua_State* L, int index) {
  if (lua_isnone(L, index)) return "no value";
  if (lua_type(L, index) != LUA_TNUMBER) return luaL_typename(L, index);
  char text[48];
  if (lua_isinteger(L, index))
    std::snprintf(text, sizeof text, "%lld", static_cast<long long>(lua_tointeger(L, index)));
  else if (const double number = lua_tonumber(L, index); number != number)
    std::snprintf(text, sizeof text, "nan");  // whatever its sign bit says
  else
    std::snprintf(text, sizeof text, "%.14g", number);
  return text;
}

reply bad_argument(vm& v, int argument, const char* expected, lua_State* L) {
  v.argument = argument;
  v.message = std::string(expected) + ", got " + what_was_given(L, argument);
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
  if (!protect::suspendable(L, task)) {
    v.unyielding = true;
    return again(L, v);
  }
  return yield_then(v, again);
}

reply pushed_results(lua_State*, vm& v) { return v.running().incoming; }

}  // namespace perilune
