// The metatables of the objects scripts hold, kept in the registry's integer part behind the other slots. Most are made when the
// first object of their type is. See library.cpp.
#pragma once

#include <lua.hpp>

#include "vm.hpp"

namespace perilune {

enum class type_name : int {
  error = 1,
  failure,
  task,
  region,
  scope,
  join_set,
  channel,
  oneshot,
  watch,
  watch_receiver,
  broadcast,
  broadcast_receiver,
  operation,
  token,
  token_guard,
  deferred,
  interval,
  process,
  stream,
  read_call,
  write_call,
  flush_call,
  wait_call,
  end_call,
  native_run,
  data,
  signal_listener,
  file,
  walker,
  watcher,
  json_null,
  json_list,
  json_tape,
  file_call,
  guard,
  rwlock_guard,
  permit,
  mutex,
  keyed_mutex,
  rwlock,
  once,
  semaphore,
  notify,
  barrier,
  wait_group,
  remote,
  isolate,
  shared_channel,
  shared_waiting,
  held_parcel,
  blocking_place,
  shared_value,
  buffer,
  far_task,
  far_waiting,
  database,
  host_function,
  host_call,
  host_run,
  last
};

constexpr lua_Integer registry_key(type_name name) noexcept {
  return static_cast<lua_Integer>(registry_slot::last) + static_cast<lua_Integer>(name);
}
// Pushes the metatable of a type that there is none of yet, where it is one that is made late; else leaves what is on top.
void push_late_type(lua_State* L, type_name name);
// Pushes the metatable of a type. Raises when it is made now and memory is out.
inline void push_type(lua_State* L, type_name name) {
  if (lua_rawgeti(L, LUA_REGISTRYINDEX, registry_key(name)) != LUA_TTABLE) push_late_type(L, name);
}

}  // namespace perilune
