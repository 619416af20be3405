// Names the place where Lua cannot suspend, for the error a wait raises there.
#pragma once

#include <lua.hpp>

namespace perilune {

class lua_task;

// Pushes "cannot suspend inside 'table.sort'" or the like, for a wait called by the native function that runs on `L`.
void push_boundary_name(lua_State* L, const lua_task& task);

}  // namespace perilune
