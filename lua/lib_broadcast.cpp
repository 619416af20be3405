// peri.broadcast. See lua-api: Channels. The rules are the engine's broadcast_core; the values are in a lua_ring of the
// broadcast, which is user value 1 of its receivers.
#include <perilune/broadcast.hpp>

#include "library.hpp"
#include "lua_ring.hpp"
#include "turn_kind.hpp"

namespace perilune {

namespace {

// User values: 1 the ring's table, 2... the ring.
struct lua_broadcast final : broadcast_core {
  static constexpr std::uint64_t tag = 0x62726f61'27c8e05dULL;
  static constexpr int ring_table = 1;
  static constexpr int first_slot = 2;

  explicit lua_broadcast(std::size_t capacity) noexcept
      : broadcast_core(capacity), values(capacity, ring_table, first_slot) {}
  // Drops values from the front, which nobody needs any more. The broadcast stands at `at`.
  void drop(lua_State* L, int at, std::size_t count) {
    for (; count; --count) {
      values.pop_front(L, at);
      lua_pop(L, 1);
    }
  }

  lua_ring values;
};

struct broadcast_receiver_object {
  static constexpr std::uint64_t tag = 0x62726563'6d3af194ULL;
  explicit broadcast_receiver_object(lua_broadcast& broadcast) noexcept : place(broadcast) {}
  broadcast_subscription place;
};

turns& values_of(broadcast_receiver_object& receiver) { return receiver.place; }

struct recv_kind final : turn_kind<broadcast_receiver_object, values_of> {
  constexpr recv_kind() noexcept : turn_kind("recv") {}
  int collect(lua_State* L, vm&, int at) const override {
    broadcast_subscription& receiver = object_at<broadcast_receiver_object>(L, at).place;
    if (const std::uint64_t lag = receiver.lag()) {
      receiver.skip_lag();
      lua_pushnil(L);
      lua_pushliteral(L, "lagged");
      lua_pushinteger(L, static_cast<lua_Integer>(lag));
      return 3;
    }
    if (receiver.at_end()) {
      receiver.see_end();
      return push_closed(L);
    }
    lua_getiuservalue(L, at, 1);
    const int from = lua_gettop(L);
    auto& broadcast = object_at<lua_broadcast>(L, from);
    broadcast.values.get(L, from, receiver.place());
    broadcast.drop(L, from, receiver.pass());
    lua_remove(L, from);
    return 1;
  }
};
constexpr recv_kind recv_verb;

reply wrong_broadcast(lua_State* L, vm& v) { return bad_argument(v, 1, "a broadcast expected: call it with ':'", L); }
reply wrong_receiver(lua_State* L, vm& v) {
  return bad_argument(v, 1, "a receiver of a broadcast expected: call it with ':'", L);
}

// Stores the value at index 2 in the broadcast at index 1. Raises before anything is changed.
void store(lua_State* L, lua_broadcast& broadcast) {
  broadcast.reserve();
  if (broadcast.full()) {
    broadcast.drop_oldest();
    broadcast.drop(L, 1, 1);
  } else {
    broadcast.values.reserve(L, 1, 1);
  }
  lua_pushvalue(L, 2);
  broadcast.values.push_back(L, 1);
  broadcast.sent();
}

reply send_body(lua_State* L, vm& v) {
  lua_broadcast* broadcast = to_object<lua_broadcast>(L, 1);
  if (!broadcast) return wrong_broadcast(L, v);
  if (lua_isnoneornil(L, 2)) return refuse_nil(v, 2);
  if (broadcast->closed()) return push_closed(L);
  if (broadcast->subscribers())
    store(L, *broadcast);
  else
    broadcast->sent_to_nobody();
  lua_pushinteger(L, static_cast<lua_Integer>(broadcast->subscribers()));
  return 1;
}

reply subscribe_body(lua_State* L, vm& v) {
  lua_broadcast* broadcast = to_object<lua_broadcast>(L, 1);
  if (!broadcast) return wrong_broadcast(L, v);
  push_object<broadcast_receiver_object>(L, type_name::broadcast_receiver, 1, *broadcast);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

reply close_body(lua_State* L, vm& v) {
  lua_broadcast* broadcast = to_object<lua_broadcast>(L, 1);
  if (!broadcast) return wrong_broadcast(L, v);
  broadcast->close();
  return 0;
}

// Its receivers, made later, have been collected before.
reply collect_broadcast(lua_State* L, vm&) {
  object_at<lua_broadcast>(L, 1).end();
  return 0;
}

reply stats_body(lua_State* L, vm& v) {
  const lua_broadcast* broadcast = to_object<lua_broadcast>(L, 1);
  if (!broadcast) return wrong_broadcast(L, v);
  const broadcast_stats stats = broadcast->stats();
  lua_createtable(L, 0, 6);
  set_count(L, "len", stats.length);
  set_count(L, "capacity", stats.capacity);
  set_count(L, "sends", stats.sends);
  set_count(L, "subscribers", stats.subscribers);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  set_flag(L, "closed", stats.closed);
  return 1;
}

// Receivers.

reply recv_body(lua_State* L, vm& v) {
  if (!to_object<broadcast_receiver_object>(L, 1)) return wrong_receiver(L, v);
  return perform<recv_verb>(L, v, recv_body);
}

reply try_recv_body(lua_State* L, vm& v) {
  if (!to_object<broadcast_receiver_object>(L, 1)) return wrong_receiver(L, v);
  return attempt_or(L, v, recv_verb, "empty");
}

reply leave_body(lua_State* L, vm& v) {
  broadcast_receiver_object* receiver = to_object<broadcast_receiver_object>(L, 1);
  if (!receiver) return wrong_receiver(L, v);
  const std::size_t unneeded = receiver->place.leave();
  lua_getiuservalue(L, 1, 1);
  object_at<lua_broadcast>(L, -1).drop(L, lua_gettop(L), unneeded);
  return 0;
}

reply receiver_stats_body(lua_State* L, vm& v) {
  const broadcast_receiver_object* receiver = to_object<broadcast_receiver_object>(L, 1);
  if (!receiver) return wrong_receiver(L, v);
  const broadcast_receiver_stats stats = receiver->place.stats();
  lua_createtable(L, 0, 5);
  set_count(L, "len", stats.length);
  set_count(L, "recvs", stats.recvs);
  set_count(L, "lagged", stats.lagged);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  set_flag(L, "closed", stats.closed);
  return 1;
}

reply broadcast_body(lua_State* L, vm& v) {
  const lua_Integer capacity = read_count(L, 1, largest_capacity);
  if (capacity < 1) return bad_argument(v, 1, "capacity must be a positive integer", L);
  const auto values = static_cast<std::size_t>(capacity);
  const int user_values = lua_broadcast::first_slot - 1 + lua_ring::user_values_for(values);
  push_object<lua_broadcast>(L, type_name::broadcast, user_values, values);
  return 1;
}

}  // namespace

void open_broadcasts(lua_State* L) {
  constexpr library_function functions[] = {{"broadcast", protect::native<broadcast_body>}};
  set_functions(L, functions);
}

void define_broadcast(lua_State* L) {
  constexpr library_function methods[] = {
      {"send", protect::native<send_body>},
      {"subscribe", protect::native<subscribe_body>},
      {"close", protect::native<close_body>},
      {"stats", protect::native<stats_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_broadcast>}};
  define_type(L, type_name::broadcast, "perilune.broadcast", methods, metamethods);
  constexpr library_function receiver_methods[] = {
      {"recv", protect::native<recv_body>},
      {"recv_op", protect::native<make_operation<recv_verb, broadcast_receiver_object>>},
      {"try_recv", protect::native<try_recv_body>},
      {"close", protect::native<leave_body>},
      {"stats", protect::native<receiver_stats_body>},
  };
  constexpr library_function receiver_metamethods[] = {{"__close", protect::native<leave_body>},
                                                       {"__gc", protect::native<leave_body>}};
  define_type(L, type_name::broadcast_receiver, "perilune.broadcast_receiver", receiver_methods, receiver_metamethods);
}

}  // namespace perilune
