// The only door through which native code raises, yields, resumes or calls under protection; in protect*.cpp.
//
// A native function is a body of type `reply (*)(lua_State*, vm&)` behind a trampoline. The body reads its arguments
// without raising and either holds C++ objects with destructors or calls Lua functions that may raise, never both at
// once. It says by its reply what is to happen when it has returned: so many results, or one of the actions below, which
// the trampoline carries out when no C++ object is alive any more. Exceptions end in the trampoline.
#pragma once

#include <lua.hpp>

#include "lua_task.hpp"
#include "vm.hpp"

namespace perilune {

using reply = int;  // >= 0: that many results on top of the stack
using native_body = reply (*)(lua_State*, vm&);

namespace action {
inline constexpr reply raise_top = -1;       // raise the value on top
inline constexpr reply raise_message = -2;   // raise vm::message as a string with the caller's position
inline constexpr reply raise_argument = -3;  // raise vm::message as misuse of argument vm::argument
inline constexpr reply raise_cancel = -4;    // raise the cancellation in force
inline constexpr reply raise_problem = -5;   // raise vm::problem as an error object
inline constexpr reply suspend = -6;         // the task is parked or queued; vm::continuation runs when it resumes
inline constexpr reply run_region = -7;      // call the function in a region, see region.hpp
inline constexpr reply call_plain = -8;      // call stack[1] with the rest, results are the results
inline constexpr reply call_closing =
    -11;  // call stack[3] with the rest, stack[2] closed when it raises; then vm::continuation
inline constexpr reply exit_host = -9;  // suspend for good: the run is being shut down
inline constexpr reply raise_unsuspendable = -10;
}  // namespace action

// How messages show what was passed: a number's value, else its type.
std::string what_was_given(lua_State* L, int index);
// Ready-made misuse: `bad argument #1 to 'channel' (capacity must be ..., got -1)`.
reply bad_argument(vm& v, int argument, const char* expected, lua_State* L);
reply raise_text(vm& v, std::string text);
reply raise_error(vm& v, error problem);

namespace protect {

// Keeps the exception under way as vm::problem; for a catch block.
reply keep_exception(vm& v) noexcept;
// Calls a body; an exception becomes an error object.
inline reply guard(native_body body, lua_State* L, vm& v) noexcept {
  try {
    return body(L, v);
  } catch (...) {
    return keep_exception(v);
  }
}
int suspend(lua_State* L, vm& v);
int conclude_otherwise(lua_State* L, vm& v, reply r);
inline int conclude(lua_State* L, vm& v, reply r) {
  if (r >= 0) [[likely]]
    return r;
  return r == action::suspend ? suspend(L, v) : conclude_otherwise(L, v, r);
}

template <native_body Body>
int native(lua_State* L) {
  vm& v = vm_of(L);
  reply r = 0;
  try {
    r = Body(L, v);
  } catch (...) {
    r = keep_exception(v);
  }
  return conclude(L, v, r);
}

// Body of every task's Lua thread; stack: message handler, function, arguments.
int task_main(lua_State* L);

// Stock functions in our form: they let cancellation and suspension through.
int pcall(lua_State* L);
int xpcall(lua_State* L);
int load(lua_State* L);
int call_yieldable(lua_State* L, int arguments, int results, lua_KContext context, lua_KFunction then);

// peri.critical(fn, ...): nothing inside may suspend.
int critical(lua_State* L);

// The hooks of preemption, see protect_preempt.cpp.
void on_overstay(lua_State* L, lua_Debug*);
void on_fuel(lua_State* L, lua_Debug*);
// Arms the hook of mode fuel on a thread, and on those it makes; in other modes it takes the hook off.
void rearm_fuel(lua_State* L, const vm& v) noexcept;
// A native function has done so many steps, each worth an instruction, since it last said so, and holds nothing. Raises what
// the hook would raise.
void charge(lua_State* L, std::uint64_t steps);
// Charges a walk over all calls under way, which Lua takes when it has caught an error.
void charge_depth(lua_State* L);
// Room for so many more values on the stack. Raises a stack overflow, which says `what` there is too much of.
void need_stack(lua_State* L, int values, const char* what = nullptr);
// A task that a hook has suspended is about to be resumed.
void resume_preempted(lua_task& task) noexcept;
// A turn of the task that was longer than the hold limit is over.
void report_long_turn(vm& v, const lua_task& task) noexcept;

// coroutine.*
int coroutine_create(lua_State* L);
int coroutine_resume(lua_State* L);
int coroutine_wrap(lua_State* L);
int coroutine_yield(lua_State* L);
int coroutine_close(lua_State* L);
int coroutine_status(lua_State* L);

void call(lua_State* L, int arguments, int results);
// Calls what no script has written; false, and the error in place of the results, when it raised.
bool try_call(lua_State* L, int arguments, int results) noexcept;
// Calls a script's function outside of any task. False: the error object it failed with, which has a traceback, is on top
// in place of the results.
bool call_traced(lua_State* L, int arguments, int results);
// Calls `fn` with `data` under protection, outside of any task. An error's text goes to `problem`; false then.
bool call_outside(lua_State* L, int (*fn)(lua_State*), void* data, std::string* problem) noexcept;
// Collects all garbage, with room made first for the calls of finalizers: one that has no memory to be called never is.
// Raises, with nothing collected, where there is no room.
void collect_with_room(lua_State* L);

// Whether every thread from the running one up to the task's can be suspended.
inline bool suspendable(lua_State* L, const lua_task& task) noexcept {
  return task.host->in_task() && L == task.innermost && !task.blocked_at && task.critical == 0 && lua_isyieldable(L);
}
// For naming what stands in the way: functions of ours that can be suspended inside, and the frame of xpcall's handler.
bool calls_back(lua_CFunction function) noexcept;
bool is_message_handler(lua_CFunction function) noexcept;
bool is_coroutine_frame(lua_CFunction function) noexcept;

}  // namespace protect

// Waiting, for bodies. Each returns the reply to return.

// Parks the running task on `op`; `then` runs when it was granted.
reply wait_for(lua_State* L, vm& v, operation& op, native_body then);
// Takes a unit of budget. False: the caller returns yield_and_retry(its own body).
inline bool spend(vm& v) noexcept { return v.tasks().spend() || std::exchange(v.unyielding, false) || !v.has_worker(); }
reply yield_and_retry(lua_State* L, vm& v, native_body again);
// The running task, which can suspend, yields; `then` runs when it goes on.
inline reply yield_then(vm& v, native_body then) {
  v.tasks().yield(v.running());
  v.continuation = then;
  return action::suspend;
}
// The results are what the waker has pushed.
reply pushed_results(lua_State* L, vm& v);

}  // namespace perilune
