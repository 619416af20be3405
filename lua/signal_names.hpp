// Signals by the names scripts use: "INT", "TERM". Free of state.
#pragma once

#include <lua.hpp>

namespace perilune {

// The number of a signal named "TERM" or "SIGTERM"; 0 for none.
int signal_number(const char* name) noexcept;
// Pushes the name of a signal, or its number as a string where it has none.
void push_signal_name(lua_State* L, int number);

}  // namespace perilune
