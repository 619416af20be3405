// The shipped Lua modules as chunks: their code, compiled when this was built; or, with a Lua of another release, compiled from
// their text, where the second VM of the process that loads a module leaves its compiled form for those that come later. Only
// what was compiled that way is ever loaded as code; scripts load text alone. Any thread, each with its VM.
#pragma once

#include <span>

#include <lua.hpp>

#include "embedded_modules.hpp"
#include "vm.hpp"

namespace perilune {

// Pushes the module's main function, in the environment that shipped modules have there. May raise: want of memory.
void push_shipped_chunk(lua_State* L, const embedded_module& module);

// Pushes the function that a module returns, which is loaded at first use, with these functions as its arguments, and stays in a
// slot of the registry. May raise.
void push_shipped_entry(lua_State* L, registry_slot slot, const char* name, std::span<const lua_CFunction> functions);

}  // namespace perilune
