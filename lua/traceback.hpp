// Tracebacks and positions as the reader of a script wants them: without what the runtime itself put on the stack.
#pragma once

#include <lua.hpp>

namespace perilune {

// As luaL_traceback, but of a deep stack the innermost calls only: going through all of it takes long.
void push_traceback(lua_State* L, lua_State* of, const char* heading, int level);
// Pushes the traceback of the running thread from `level` on, below a line with `heading` when there is one.
void push_script_traceback(lua_State* L, const char* heading, int level);
// Pushes "file:line: " of what called the running native function: behind shipped modules, the script's line. "" when that
// is no Lua code.
void push_caller_position(lua_State* L);

// Finds the innermost line from `level` on that a script runs, past those of shipped modules. False where there is none.
bool find_own_line(lua_State* L, int level, lua_Debug& frame) noexcept;

}  // namespace perilune
