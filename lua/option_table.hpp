// Tables of options that scripts pass by name: unknown names are misuse, and the message says what was probably meant.
// Used inside one native call.
#pragma once

#include <cstddef>

#include "protect.hpp"

namespace perilune {

// Checks the names in the table at `index`, an argument of `call`. A reply < 0 refuses.
reply check_option_names(lua_State* L, vm& v, int index, const char* call, const char* const* known, std::size_t count);

template <std::size_t N>
reply check_option_names(lua_State* L, vm& v, int index, const char* call, const char* const (&known)[N]) {
  return check_option_names(L, v, index, call, known, N);
}

// Misuse of one option: `bad option 'cwd' to 'run' (a path expected, got table)`. The value is on top of the stack.
reply bad_option(lua_State* L, vm& v, const char* name, const char* call, const char* expected);

}  // namespace perilune
