// The metatables of the objects scripts hold, kept in the registry's list of types by number. See library.cpp.
#pragma once

#include <lua.hpp>

#include "vm.hpp"

namespace perilune {

enum class type_name : int {
  error = 1, failure, task, region, scope, channel, operation, token, token_guard, deferred, interval, process, process_pipe,
  data, signal_listener, file, walker, watcher, last
};

inline void push_type(lua_State* L, type_name name) {
  vm::push_registry(L, registry_slot::types);
  lua_rawgeti(L, -1, static_cast<lua_Integer>(name));
  lua_remove(L, -2);
}

}  // namespace perilune
