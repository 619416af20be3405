// Storing and moving the values of a Lua channel. See lua_channel.hpp.
#include "lua_channel.hpp"

#include <algorithm>

namespace perilune {

void lua_channel::store(const channel_call& from) {
  lua_pushvalue(from.L, from.at + 1);
  values_.push_back(from.L, from.at);
}

void lua_channel::store_from(waiter& sender) {
  lua_State* leaf = lua_task_of(sender).leaf;
  const int at = position_of(sender);
  lua_pushvalue(leaf, at + 1);
  values_.push_back(leaf, at);
}

void lua_channel::fetch(const channel_call& to) {
  lua_State* L = to.L;
  if (returned_) [[unlikely]] {
    const auto front = 2 * static_cast<lua_Integer>(returned_--);
    lua_getiuservalue(L, to.at, returned_table);
    lua_rawgeti(L, -1, front);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -3, front);
    lua_remove(L, -2);
    return;
  }
  values_.pop_front(L, to.at);
}

void lua_channel::pass(const channel_call& from, waiter& receiver) {
  lua_task& task = lua_task_of(receiver);
  lua_pushvalue(from.L, from.at + 1);
  lua_xmove(from.L, task.leaf, 1);
  task.incoming = 1;
}

void lua_channel::fetch_from(waiter& sender, const channel_call& to) {
  lua_State* leaf = lua_task_of(sender).leaf;
  lua_pushvalue(leaf, position_of(sender) + 1);
  lua_xmove(leaf, to.L, 1);
}

void lua_channel::finish(waiter& receiver) noexcept {
  lua_task_of(receiver).note_closed = true;
  --promised_;
}

void lua_channel::reserve_return(const channel_call& call) {
  if (promised_ + returned_ < returned_capacity_) return;
  lua_State* L = call.L;
  const std::size_t larger = std::max<std::size_t>(2, 2 * (promised_ + returned_));
  lua_createtable(L, static_cast<int>(2 * larger), 0);
  if (returned_) {
    lua_getiuservalue(L, call.at, returned_table);
    for (std::size_t i = 1; i <= 2 * returned_; ++i) {
      lua_rawgeti(L, -1, static_cast<lua_Integer>(i));
      lua_rawseti(L, -3, static_cast<lua_Integer>(i));
    }
    lua_pop(L, 1);
  }
  lua_setiuservalue(L, call.at, returned_table);
  returned_capacity_ = larger;
}

void lua_channel::receive_side::arm(waiter& by) {
  ++channel_.promised_;
  channel_.arm_receiver(by);
}

void lua_channel::receive_side::disarm(waiter& by) noexcept {
  --channel_.promised_;
  channel_.disarm_receiver(by);
}

bool lua_channel::receive_side::give_back(waiter& by) noexcept {
  lua_task& task = lua_task_of(by);
  if (task.note_closed) return true;
  lua_State* leaf = task.leaf;
  task.incoming = 0;
  channel_.promised_ -= 1;
  if (waiter* next = channel_.take_receiver()) {
    lua_xmove(leaf, lua_task_of(*next).leaf, 1);
    lua_task_of(*next).incoming = 1;
    next->deadline = by.deadline;
    task.home->grant(*next);
    return true;
  }
  channel_.keep_returned(leaf, position_of(by), static_cast<lua_Integer>(by.deadline));
  channel_.note_length();
  return true;
}

// Puts the value on top of the stack (popped) among those given back, by the order in which they were sent: the table holds
// pairs of order and value, the oldest last. Every place exists already.
void lua_channel::keep_returned(lua_State* L, int at, lua_Integer order) noexcept {
  lua_getiuservalue(L, at, returned_table);
  const int table = lua_gettop(L);
  auto place = 2 * static_cast<lua_Integer>(returned_++) + 1;
  for (; place > 2; place -= 2) {
    lua_rawgeti(L, table, place - 2);
    const bool older_is_behind = lua_tointeger(L, -1) > order;
    lua_pop(L, 1);
    if (older_is_behind) break;
    for (lua_Integer i = place - 2; i < place; ++i) {
      lua_rawgeti(L, table, i);
      lua_rawseti(L, table, i + 2);
    }
  }
  lua_pushinteger(L, order);
  lua_rawseti(L, table, place);
  lua_pushvalue(L, table - 1);
  lua_rawseti(L, table, place + 1);
  lua_settop(L, table - 2);
}

}  // namespace perilune
