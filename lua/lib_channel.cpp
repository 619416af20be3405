// peri.channel and peri.unbounded. See lua-api: Channels.
#include <cmath>
#include <cstring>

#include "library.hpp"
#include "lua_channel.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "option_table.hpp"

namespace perilune {

namespace {

struct recv_kind final : operation_kind {
  const char* name() const noexcept override { return "recv"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    channel_call call{L, at};
    switch (object_at<lua_channel>(L, at).try_recv(v.tasks(), call)) {
      case channel_status::done:
        return 1;
      case channel_status::closed:
        return push_closed(L);
      default:
        return not_ready;
    }
  }
  bool maybe_ready(const void* resource) const noexcept override {
    return static_cast<const lua_channel*>(resource)->receivable();
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    auto& channel = object_at<lua_channel>(L, at);
    channel.reserve_return({L, at});
    return channel.receiving();
  }
  int collect(lua_State* L, vm& v, int at) const override {
    if (v.running().note_closed) return push_closed(L);
    object_at<lua_channel>(L, at).accepted();
    return 1;
  }
};
constexpr recv_kind recv_verb;

struct send_kind final : operation_kind {
  const char* name() const noexcept override { return "send"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& channel = object_at<lua_channel>(L, at);
    channel_call call{L, at};
    channel.reserve_slot(call, 1);
    switch (channel.try_send(v.tasks(), call)) {
      case channel_status::done:
        lua_pushboolean(L, 1);
        return 1;
      case channel_status::closed:
        return push_closed(L);
      default:
        return not_ready;
    }
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    auto& channel = object_at<lua_channel>(L, at);
    channel.reserve_slot({L, at}, channel.given_back() + 1);
    return channel.sending();
  }
  int collect(lua_State* L, vm& v, int) const override {
    if (v.running().note_closed) return push_closed(L);
    lua_pushboolean(L, 1);
    return 1;
  }
};
constexpr send_kind send_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a channel expected: call it with ':'", L); }

// A reply < 0 refuses what send was given.
reply check_send(lua_State* L, vm& v) {
  if (!to_object<lua_channel>(L, 1)) return wrong_self(L, v);
  return lua_isnoneornil(L, 2) ? refuse_nil(v, 2) : 0;
}

void warn_when_long(vm& v, lua_channel& channel) {
  if (channel.warn_at == 0 || channel.stored() < channel.warn_at) return;
  channel.warn_at = 0;
  v.report("warning: an unbounded channel holds " + std::to_string(channel.stored()) + " values");
}

reply send_granted(lua_State* L, vm& v) {
  if (v.running().note_closed) return push_closed(L);
  lua_pushboolean(L, 1);
  return 1;
}

reply send_body(lua_State* L, vm& v) {
  lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel || lua_isnoneornil(L, 2)) return check_send(L, v);
  if (v.running().cancel_pending()) [[unlikely]]
    return action::raise_cancel;
  if (!spend(v)) [[unlikely]]
    return yield_and_retry(L, v, send_body);
  channel_call call{L, 1};
  channel->reserve_slot(call, 1);
  const channel_status status = channel->try_send(v.tasks(), call);
  if (status == channel_status::full) {
    channel->reserve_slot(call, channel->given_back() + 1);
    return wait_for(L, v, channel->sending(), send_granted);
  }
  if (status == channel_status::closed) return push_closed(L);
  if (channel->warn_at) [[unlikely]]
    warn_when_long(v, *channel);
  lua_pushboolean(L, 1);
  return 1;
}

// recv and send as verbs are the hottest paths of all: they are perform<> written out, with the channel in hand.

reply recv_granted(lua_State* L, vm& v) {
  lua_task& task = v.running();
  if (task.note_closed) return push_closed(L);
  lua_channel::received_from(*task.op).accepted();
  return 1;
}

reply recv_body(lua_State* L, vm& v) {
  lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel) return wrong_self(L, v);
  if (v.running().cancel_pending()) [[unlikely]]
    return action::raise_cancel;
  if (!spend(v)) [[unlikely]]
    return yield_and_retry(L, v, recv_body);
  channel_call call{L, 1};
  const channel_status status = channel->try_recv(v.tasks(), call);
  if (status == channel_status::done) return 1;
  if (status == channel_status::closed) return push_closed(L);
  channel->reserve_return(call);
  return wait_for(L, v, channel->receiving(), recv_granted);
}

reply try_send_body(lua_State* L, vm& v) {
  if (const reply refused = check_send(L, v); refused < 0) return refused;
  return attempt_or(L, v, send_verb, "full");
}

reply try_recv_body(lua_State* L, vm& v) {
  if (!to_object<lua_channel>(L, 1)) return wrong_self(L, v);
  return attempt_or(L, v, recv_verb, "empty");
}

// A list of the value on top and as many more as are there, `max` at most. The channel stands at `at`, `max` behind it.
int gather_list(lua_State* L, vm& v, int at) {
  const int first = lua_gettop(L);
  const lua_Integer max = lua_tointeger(L, at + 1);
  lua_newtable(L);
  lua_insert(L, first);
  lua_rawseti(L, first, 1);
  auto& channel = object_at<lua_channel>(L, at);
  channel_call call{L, at};
  for (lua_Integer count = 2; count <= max && channel.try_recv(v.tasks(), call) == channel_status::done; ++count)
    lua_rawseti(L, first, count);
  return 1;
}

// An empty list is the end, or what a `max` of 0 asks for.
struct recv_many_kind final : operation_kind {
  const char* name() const noexcept override { return "recv_many"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    if (lua_tointeger(L, at + 1) == 0) return lua_newtable(L), 1;
    channel_call call{L, at};
    switch (object_at<lua_channel>(L, at).try_recv(v.tasks(), call)) {
      case channel_status::done:
        return gather_list(L, v, at);
      case channel_status::closed:
        return lua_newtable(L), 1;
      default:
        return not_ready;
    }
  }
  operation& arm_target(lua_State* L, vm& v, int at, waiter& by) const override {
    return recv_verb.arm_target(L, v, at, by);
  }
  int collect(lua_State* L, vm& v, int at) const override {
    if (v.running().note_closed) return lua_newtable(L), 1;
    object_at<lua_channel>(L, at).accepted();
    return gather_list(L, v, at);
  }
};
constexpr recv_many_kind recv_many_verb;

// A reply < 0 refuses what recv_many was given.
reply check_recv_many(lua_State* L, vm& v) {
  if (!to_object<lua_channel>(L, 1)) return wrong_self(L, v);
  if (read_count(L, 2) < 0) return bad_argument(v, 2, "max must be a non-negative integer", L);
  lua_settop(L, 2);
  return 0;
}

reply recv_many_body(lua_State* L, vm& v) {
  if (const reply refused = check_recv_many(L, v); refused < 0) return refused;
  return perform<recv_many_verb>(L, v, recv_many_body);
}

reply recv_many_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_recv_many(L, v); refused < 0) return refused;
  push_operation(L, recv_many_verb, 1, true);
  return 1;
}

reply recv_op_body(lua_State* L, vm& v) {
  if (!to_object<lua_channel>(L, 1)) return wrong_self(L, v);
  if (lua_getiuservalue(L, 1, lua_channel::cached_recv_op) == LUA_TUSERDATA) return 1;
  push_operation(L, recv_verb, 1, false);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, lua_channel::cached_recv_op);
  return 1;
}

reply send_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_send(L, v); refused < 0) return refused;
  lua_settop(L, 2);
  push_operation(L, send_verb, 1, true);
  return 1;
}

reply iter_body(lua_State* L, vm& v) {
  if (!to_object<lua_channel>(L, 1)) return wrong_self(L, v);
  return push_iterator<recv_body>(L);
}

reply close_body(lua_State* L, vm& v) {
  lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel) return wrong_self(L, v);
  channel->close(v.tasks());
  return 0;
}

reply length_body(lua_State* L, vm& v) {
  const lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel) return wrong_self(L, v);
  lua_pushinteger(L, static_cast<lua_Integer>(channel->stored()));
  return 1;
}

void push_capacity(lua_State* L, std::size_t capacity) {
  if (capacity == channel_unbounded)
    lua_pushnumber(L, HUGE_VAL);
  else
    lua_pushinteger(L, static_cast<lua_Integer>(capacity));
}

reply stats_body(lua_State* L, vm& v) {
  lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel) return wrong_self(L, v);
  const channel_stats stats = channel->stats();
  lua_createtable(L, 0, 8);
  set_count(L, "len", stats.length);
  push_capacity(L, stats.capacity);
  lua_setfield(L, -2, "capacity");
  set_count(L, "peak", stats.peak);
  set_count(L, "sends", stats.sends);
  set_count(L, "recvs", stats.recvs);
  set_count(L, "waiting_senders", stats.waiting_senders);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  set_flag(L, "closed", channel->closed());
  return 1;
}

reply print_body(lua_State* L, vm& v) {
  const lua_channel* channel = to_object<lua_channel>(L, 1);
  if (!channel) return wrong_self(L, v);
  lua_pushfstring(L, "channel: %p (%I of ", static_cast<const void*>(channel),
                  static_cast<lua_Integer>(channel->stored()));
  push_capacity(L, channel->capacity());
  luaL_tolstring(L, -1, nullptr);
  lua_remove(L, -2);
  lua_pushstring(L, channel->closed() ? ", closed)" : ")");
  lua_concat(L, 3);
  return 1;
}

// Methods are looked up in a plain table, at no cost per call; since `ch.capacity` and `ch.name` are read through the same
// table, channels share their metatable with those of the same capacity, and a named channel has one of its own.
void push_methods(lua_State* L, std::size_t capacity) {
  constexpr library_function methods[] = {
      {"send", protect::native<send_body>},           {"recv", protect::native<recv_body>},
      {"try_send", protect::native<try_send_body>},   {"try_recv", protect::native<try_recv_body>},
      {"recv_many", protect::native<recv_many_body>}, {"recv_many_op", protect::native<recv_many_op_body>},
      {"send_op", protect::native<send_op_body>},     {"recv_op", protect::native<recv_op_body>},
      {"iter", protect::native<iter_body>},           {"close", protect::native<close_body>},
      {"stats", protect::native<stats_body>},
  };
  lua_createtable(L, 0, 13);
  set_functions(L, methods);
  push_capacity(L, capacity);
  lua_setfield(L, -2, "capacity");
}

void push_new_metatable(lua_State* L, std::size_t capacity) {
  lua_createtable(L, 0, 6);
  push_methods(L, capacity);
  lua_setfield(L, -2, "__index");
  constexpr library_function metamethods[] = {{"__len", protect::native<length_body>},
                                              {"__close", protect::native<close_body>},
                                              {"__tostring", protect::native<print_body>}};
  set_functions(L, metamethods);
  lua_pushliteral(L, "perilune.channel");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "perilune.channel");
  lua_setfield(L, -2, "__metatable");
}

// Pushes the metatable of unnamed channels of this capacity. They are kept weakly, by capacity.
void push_shared_metatable(lua_State* L, std::size_t capacity) {
  push_type(L, type_name::channel);
  const auto key = capacity == channel_unbounded ? lua_Integer{-1} : static_cast<lua_Integer>(capacity);
  if (lua_rawgeti(L, -1, key) == LUA_TNIL) {
    lua_pop(L, 1);
    push_new_metatable(L, capacity);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, key);
  }
  lua_remove(L, -2);
}

lua_channel& push_channel(lua_State* L, std::size_t capacity, int name) {
  if (name) {
    push_new_metatable(L, capacity);
    lua_getfield(L, -1, "__index");
    lua_pushvalue(L, name);
    lua_setfield(L, -2, "name");
    lua_pop(L, 1);
  } else {
    push_shared_metatable(L, capacity);
  }
  auto& channel = push_object<lua_channel>(L, lua_channel::user_values_for(capacity), capacity);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return channel;
}

reply channel_body(lua_State* L, vm& v) {
  constexpr const char* expected = "capacity must be a non-negative integer";
  const lua_Integer capacity = read_count(L, 1, largest_capacity);
  if (capacity < 0) return bad_argument(v, 1, expected, L);
  if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TSTRING) return bad_argument(v, 2, "name must be a string", L);
  push_channel(L, static_cast<std::size_t>(capacity), lua_isnoneornil(L, 2) ? 0 : 2);
  return 1;
}

reply unbounded_body(lua_State* L, vm& v) {
  std::size_t warn_at = 0;
  int name = 0;
  if (lua_istable(L, 1)) {
    constexpr const char* known[] = {"warn_at", "name"};
    if (const reply refused = check_option_names(L, v, 1, "unbounded", known); refused < 0) return refused;
    lua_settop(L, 1);
    lua_getfield(L, 1, "warn_at");
    if (!lua_isnil(L, 2) && read_count(L, 2) < 1)
      return bad_option(L, v, "warn_at", "unbounded", "a positive integer expected");
    warn_at = static_cast<std::size_t>(lua_tointeger(L, 2));
    if (lua_getfield(L, 1, "name") == LUA_TSTRING) name = 3;
    if (!name && !lua_isnil(L, 3)) return bad_option(L, v, "name", "unbounded", "a string expected");
  } else if (!lua_isnoneornil(L, 1)) {
    return bad_argument(v, 1, "a table of options expected", L);
  }
  push_channel(L, channel_unbounded, name).warn_at = warn_at;
  return 1;
}

}  // namespace

void open_channels(lua_State* L) {
  constexpr library_function functions[] = {
      {"channel", protect::native<channel_body>},
      {"unbounded", protect::native<unbounded_body>},
  };
  set_functions(L, functions);
}

// Their metatables, by capacity.
void define_channels(lua_State* L) {
  push_weak_table(L);
  keep_type(L, type_name::channel);
}

}  // namespace perilune
