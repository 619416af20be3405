// Values between a VM and its host. On the VM's thread.
#pragma once

#include <lua.hpp>

#include <perilune/value.hpp>

#include "protect.hpp"

namespace perilune {

// An object of the host's, as scripts hold it; its metatable is that of its class, in the registry by the type.
struct host_object {
  static constexpr std::uint64_t tag = 0x686f7374'4f8a11c7ULL;
  detail::object_ref ref{};
};

// Makes the types of what the functions below and those of host_calls.cpp push. May raise.
void open_host_types(lua_State* L);

// Pushes the value. May raise. False, and nil, where it or something in it is of another host, or of a class not defined here.
bool push_value(lua_State* L, vm& v, const value& given);
// Pushes `count` values, all or none: they are those of a call. False, and the error on top, when that fails.
bool push_values(lua_State* L, const value_list& given);
// Reads a value. Never raises. False where a table is nested too deep, or memory is out.
bool read_value(lua_State* L, vm& v, int index, value& out);
// Keeps the value at `index` for the host; nullptr where memory is out.
detail::anchor_ptr keep_value(lua_State* L, vm& v, int index);
// Pushes the metatable of a class, made when it is new. May raise.
void push_class(lua_State* L, const void* type, std::string_view name);

// Pushes the table that holds the last part of a global's path, "a.b.c", and that part. False where there is none; with `make`, where
// something else stands in the way. May raise.
bool push_place(lua_State* L, std::string_view path, bool make);
reply no_place(vm& v, std::string_view path);

}  // namespace perilune
