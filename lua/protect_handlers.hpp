// The message handlers that protect.cpp and protect_coroutine.cpp share. Light C functions; they run at the raise.
#pragma once

#include <lua.hpp>

namespace perilune::protect {

// Keeps a cancellation going through closers that raise, and keeps what they raised.
int on_guarded_error(lua_State* L);
// As on_guarded_error, and remembers the traceback of an error that leaves a coroutine or a region.
int on_boundary_error(lua_State* L);

// The handler of a task's body: the first error is the task's, those of closers that follow are suppressed.
int on_task_error(lua_State* L);

// Its address is the light userdata that coroutine.close raises inside a coroutine; no protected call catches it.
inline char close_request;

}  // namespace perilune::protect
