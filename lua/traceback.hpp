// Tracebacks as the reader of a script wants them: without the frame by which the runtime entered the task or coroutine.
#pragma once

#include <lua.hpp>

namespace perilune {

// Pushes the traceback of the running thread from `level` on, below a line with `heading` when there is one.
void push_script_traceback(lua_State* L, const char* heading, int level);

}  // namespace perilune
