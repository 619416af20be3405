// A queue of Lua values that belongs to an object of a script: a ring in the user values of the object's userdata where
// the capacity is small, in a table otherwise (user values are limited in number, and scanned whole by the collector).
// The object stands at index `at` of the stack of each call. One VM, its thread only.
#pragma once

#include <cstddef>

#include <lua.hpp>

namespace perilune {

class lua_ring {
 public:
  static constexpr std::size_t inline_capacity = 192;

  // `table` is the object's user value for the table; those from `first` on are the ring, where it is a small one.
  lua_ring(std::size_t capacity, int table, int first) noexcept
      : slots_(capacity <= inline_capacity ? capacity : 0),
        table_(table),
        first_(first),
        in_table_(capacity > inline_capacity) {}
  // How many user values the ring itself needs.
  static int user_values_for(std::size_t capacity) noexcept {
    return capacity <= inline_capacity ? static_cast<int>(capacity) : 0;
  }

  std::size_t size() const noexcept { return size_; }

  // Makes room for so many more values; storing them cannot fail then. Raises when memory is out.
  void reserve(lua_State* L, int at, std::size_t more) {
    if (in_table_ && size_ + more > slots_) [[unlikely]]
      enlarge(L, at, size_ + more);
  }
  // Puts the value on top of the stack (popped) at the back.
  void push_back(lua_State* L, int at) {
    const std::size_t slot = wrap(head_ + size_++);
    if (in_table_) [[unlikely]]
      set_in_table(L, at, slot);
    else
      lua_setiuservalue(L, at, first_ + static_cast<int>(slot));
  }
  // Pushes the value at `place` from the front.
  void get(lua_State* L, int at, std::size_t place) const;
  // Pushes the front and drops it: the ring no longer keeps it alive.
  void pop_front(lua_State* L, int at) {
    const std::size_t slot = head_;
    head_ = wrap(head_ + 1);
    --size_;
    if (in_table_) [[unlikely]]
      return take_from_table(L, at, slot);
    const bool collectable = lua_getiuservalue(L, at, first_ + static_cast<int>(slot)) >= LUA_TSTRING;
    if (!collectable) return;
    lua_pushnil(L);
    lua_setiuservalue(L, at, first_ + static_cast<int>(slot));
  }

 private:
  std::size_t wrap(std::size_t i) const noexcept { return i >= slots_ ? i - slots_ : i; }
  void set_in_table(lua_State* L, int at, std::size_t slot) const;
  void take_from_table(lua_State* L, int at, std::size_t slot) const;
  void enlarge(lua_State* L, int at, std::size_t least);

  std::size_t slots_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  int table_;
  int first_;
  bool in_table_;
};

}  // namespace perilune
