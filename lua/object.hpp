// The objects scripts hold: full userdata that begin with a tag naming their type, so that a native function can tell
// what it was given without string compares and without raising. Owned by the collector of their VM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <lua.hpp>

#include "type_names.hpp"

namespace perilune {

template <class T>
struct boxed {
  std::uint64_t tag;
  T object;
};

// The object of type T at a stack index, or nullptr when something else is there. T::tag is the type's constant.
template <class T>
T* to_object(lua_State* L, int index) noexcept {
  // A light userdata has no length; a string or table has no address.
  if (lua_rawlen(L, index) < sizeof(boxed<T>)) return nullptr;
  auto* box = static_cast<boxed<T>*>(lua_touserdata(L, index));
  return box && box->tag == T::tag ? &box->object : nullptr;
}

// The object at an index that is known to hold one.
template <class T>
T& object_at(lua_State* L, int index) noexcept {
  return static_cast<boxed<T>*>(lua_touserdata(L, index))->object;
}

// Pushes a new object with `user_values` slots; raises when memory is out, before anything is constructed.
template <class T, class... Args>
T& push_object(lua_State* L, int user_values, Args&&... args) {
  void* memory = lua_newuserdatauv(L, sizeof(boxed<T>), user_values);
  auto* box = static_cast<boxed<T>*>(memory);
  new (&box->object) T(std::forward<Args>(args)...);
  box->tag = T::tag;
  return box->object;
}
// The same as an object of that type, which the collector ends from then on.
template <class T, class... Args>
T& push_object(lua_State* L, type_name type, int user_values, Args&&... args) {
  void* memory = lua_newuserdatauv(L, sizeof(boxed<T>), user_values);
  push_type(L, type);
  auto* box = static_cast<boxed<T>*>(memory);
  new (&box->object) T(std::forward<Args>(args)...);
  box->tag = T::tag;
  lua_setmetatable(L, -2);
  return box->object;
}

}  // namespace perilune
