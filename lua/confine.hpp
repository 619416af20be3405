// What is left of the libraries in a VM whose code is not trusted, by allow-list. See scripts/types/perilune.lua: peri.isolate.
//
// The library tables are seen through read-only ones, and everything that leads out of the VM is gone: no name reaches it, and
// no metatable. The shipped modules keep an environment of their own, which the code neither sees nor changes.
#pragma once

#include "library.hpp"

namespace perilune {

// In place of luaL_openlibs.
void open_confined_libraries(lua_State* L);
// Gives the chunk of a shipped module on top the globals that there were before confine(); where code is trusted all share them.
void set_shipped_environment(lua_State* L);
// Everything has been opened: leaves what the profile allows, with new globals.
void confine(lua_State* L);

// From now on what is written to the standard streams counts as output of a run, as what it prints does.
void count_written(lua_State* L);

// Whether a module of that name may be there.
bool allows_module(const vm& v, const char* name) noexcept;

}  // namespace perilune
