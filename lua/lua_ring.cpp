// Storing Lua values in a ring. See lua_ring.hpp.
#include "lua_ring.hpp"

#include <algorithm>

namespace perilune {

void lua_ring::set_in_table(lua_State* L, int at, std::size_t slot) const {
  lua_getiuservalue(L, at, table_);
  lua_insert(L, -2);
  lua_rawseti(L, -2, static_cast<lua_Integer>(slot) + 1);
  lua_pop(L, 1);
}

void lua_ring::take_from_table(lua_State* L, int at, std::size_t slot) const {
  lua_getiuservalue(L, at, table_);
  lua_rawgeti(L, -1, static_cast<lua_Integer>(slot) + 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -3, static_cast<lua_Integer>(slot) + 1);
  lua_remove(L, -2);
}

void lua_ring::get(lua_State* L, int at, std::size_t place) const {
  const std::size_t slot = wrap(head_ + place);
  if (in_table_) {
    lua_getiuservalue(L, at, table_);
    lua_rawgeti(L, -1, static_cast<lua_Integer>(slot) + 1);
    lua_remove(L, -2);
  } else {
    lua_getiuservalue(L, at, first_ + static_cast<int>(slot));
  }
}

void lua_ring::enlarge(lua_State* L, int at, std::size_t least) {
  const std::size_t larger = std::max({std::size_t{64}, slots_ * 2, least});
  lua_createtable(L, static_cast<int>(larger), 0);
  if (slots_) {
    lua_getiuservalue(L, at, table_);
    for (std::size_t i = 0; i < size_; ++i) {
      lua_rawgeti(L, -1, static_cast<lua_Integer>(wrap(head_ + i)) + 1);
      lua_rawseti(L, -3, static_cast<lua_Integer>(i) + 1);
    }
    lua_pop(L, 1);
  }
  lua_setiuservalue(L, at, table_);
  slots_ = larger;
  head_ = 0;
}

}  // namespace perilune
