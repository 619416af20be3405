// What the files of protect share: raising and passing on a cancellation, and the message handlers.
//
// A cancellation is an error whose value is a cancellation object; a coroutine that is being closed unwinds by an object
// of its own. `depth` (see unwinding in lua_task.hpp) counts those raised and not yet caught by their region. A protected
// call remembers the depth at its entry; when it sees a higher one, the error is one of these on its way, whatever value
// it has by now, and goes on. `guard` is the depth at the entry of the innermost protected call: the message handlers
// tell by it an error of a closer that runs during such an unwinding from any other, keep it, and put the right object
// in its place. The handlers are light C functions; they run at the raise.
#pragma once

#include <lua.hpp>

#include "lua_task.hpp"

namespace perilune {

class region;

namespace protect {

// Whether the value is what a cancellation or a close request is raised as.
bool is_unwinding(lua_State* L, int index) noexcept;
// Pushes the object that the running task or coroutine unwinds by.
void push_unwinding_in_force(lua_State* L, lua_task& task);
[[noreturn]] void raise_cancellation(lua_State* L, lua_task& task);
// A protected call has ended by want of memory. Where its run had no more to hope for, the error on top becomes the unwinding
// of the run.
void note_exhaustion(lua_State* L, lua_task& task);
// Goes on with an unwinding that a protected call has seen; the error is on top.
int pass_unwinding(lua_State* L, lua_task& task);

// Moves the errors that closers raised while the task unwound, from the `kept`-th on, to a new list, which is pushed; nil
// when there are none.
void take_suppressed(lua_State* L, lua_task& task, std::uint32_t kept);
// As take_suppressed for the closers of a coroutine that was closed: pushes the last error. False, and nothing, for none.
bool take_close_error(lua_State* L, lua_task& task, lua_State* coroutine);
// Makes the list of suppressed errors on top (popped) a failure: the first is its value, unless it is an error object,
// which is then the failure itself. Pushes it.
void push_failure_of_closers(lua_State* L, lua_task& task);
// Appends a list of errors (popped from the top) to those suppressed by the error object at `object`.
void add_suppressed(lua_State* L, int object);

// Raises where so many calls are under way that catching errors in them would take long: Lua walks over all of them for each
// one it catches, and once a task has been suspended no C stack limits how many calls of pcall are among them.
void check_depth(lua_State* L);

// The handler of pcall: keeps an unwinding going through closers that raise, and keeps what they raised.
int on_guarded_error(lua_State* L);
// As on_guarded_error, and remembers the traceback of an error that leaves a coroutine or a region.
int on_boundary_error(lua_State* L);
// The handler of a task's body: the first error is the task's, those of closers that follow are suppressed.
int on_task_error(lua_State* L);

int run_region(lua_State* L, vm& v);

}  // namespace protect

}  // namespace perilune
