// Lua's functions that may take long inside C, in a form that charges what it does, for VMs whose code is not trusted. Results
// and messages are Lua's own.
#pragma once

#include "library.hpp"

namespace perilune {

// Each replaces functions of the library table on top.
void bound_patterns(lua_State* L);  // string: find, match, gmatch, gsub
void bound_strings(lua_State* L);   // string: rep
void bound_tables(lua_State* L);    // table: concat, insert, move, remove, sort

// Raises a text with the caller's position, out of the middle of such a function, which holds nothing.
[[noreturn]] void refuse(lua_State* L, const char* text);
// Refuses as Lua does: `string expected, got nil`.
reply wrong_type(lua_State* L, vm& v, int argument, const char* expected);
// Reads an integer argument; where there is none and it may be left out, `into` stays. False: the reply refuses.
bool read_integer(lua_State* L, vm& v, int argument, bool optional, lua_Integer& into, reply& refused);

}  // namespace perilune
