// Names the place where Lua cannot suspend: for the error a wait raises there, and for what held a worker.
#pragma once

#include <lua.hpp>

namespace perilune {

class lua_task;

// Pushes "table.sort" or the like: what keeps the task, which runs on `L`, from being suspended.
void push_boundary(lua_State* L, const lua_task& task);
// Pushes "cannot suspend inside 'table.sort'" or the like, for a wait called by the native function that runs on `L`.
void push_boundary_name(lua_State* L, const lua_task& task);

}  // namespace perilune
