// peri.watch. See lua-api: Channels. The rules are the engine's watch_core; the value is user value 1 of the watch, which is
// user value 1 of its receivers.
#include <perilune/watch.hpp>

#include "library.hpp"
#include "turn_kind.hpp"

namespace perilune {

namespace {

struct lua_watch final : watch_core {
  static constexpr std::uint64_t tag = 0x77617463'e04f7b18ULL;
};

struct watch_receiver_object {
  static constexpr std::uint64_t tag = 0x77726563'91b6d35aULL;
  explicit watch_receiver_object(lua_watch& watch) noexcept : seen(watch) {}
  watch_subscription seen;
};

turns& changes_of(watch_receiver_object& receiver) { return receiver.seen; }

struct changed_kind final : turn_kind<watch_receiver_object, changes_of> {
  constexpr changed_kind() noexcept : turn_kind("changed") {}
  int collect(lua_State* L, vm&, int at) const override {
    if (!object_at<watch_receiver_object>(L, at).seen.take()) return push_closed(L);
    lua_pushboolean(L, 1);
    return 1;
  }
};
constexpr changed_kind changed_verb;

reply wrong_watch(lua_State* L, vm& v) { return bad_argument(v, 1, "a watch expected: call it with ':'", L); }
reply wrong_receiver(lua_State* L, vm& v) {
  return bad_argument(v, 1, "a receiver of a watch expected: call it with ':'", L);
}

// Stores the value on top of the stack (popped) in the watch at index 1.
reply set_value(lua_State* L, lua_watch& watch) {
  lua_setiuservalue(L, 1, 1);
  watch.changed();
  lua_pushboolean(L, 1);
  return 1;
}

reply set_body(lua_State* L, vm& v) {
  lua_watch* watch = to_object<lua_watch>(L, 1);
  if (!watch) return wrong_watch(L, v);
  if (lua_isnoneornil(L, 2)) return refuse_nil(v, 2);
  if (watch->closed()) return push_closed(L);
  lua_pushvalue(L, 2);
  return set_value(L, *watch);
}

// Nothing else can run between the reading and the setting: `fn` must not wait.
reply update_body(lua_State* L, vm& v) {
  lua_watch* watch = to_object<lua_watch>(L, 1);
  if (!watch) return wrong_watch(L, v);
  if (!is_callable(L, 2)) return bad_argument(v, 2, "a function expected", L);
  if (watch->closed()) return push_closed(L);
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, 1);
  protect::call(L, 1, 1);
  if (watch->closed()) return push_closed(L);
  if (!lua_isnil(L, 2)) return set_value(L, *watch);
  lua_pushboolean(L, 0);
  return 1;
}

reply get_body(lua_State* L, vm& v) {
  if (!to_object<lua_watch>(L, 1)) return wrong_watch(L, v);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

reply subscribe_body(lua_State* L, vm& v) {
  lua_watch* watch = to_object<lua_watch>(L, 1);
  if (!watch) return wrong_watch(L, v);
  push_object<watch_receiver_object>(L, type_name::watch_receiver, 1, *watch);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

reply close_body(lua_State* L, vm& v) {
  lua_watch* watch = to_object<lua_watch>(L, 1);
  if (!watch) return wrong_watch(L, v);
  watch->close();
  return 0;
}

reply stats_body(lua_State* L, vm& v) {
  const lua_watch* watch = to_object<lua_watch>(L, 1);
  if (!watch) return wrong_watch(L, v);
  const watch_stats stats = watch->stats();
  lua_createtable(L, 0, 4);
  set_count(L, "version", stats.version);
  set_count(L, "subscribers", stats.subscribers);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  set_flag(L, "closed", stats.closed);
  return 1;
}

// Receivers.

// Pushes the watch's value.
void push_watched(lua_State* L) {
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, -1, 1);
  lua_remove(L, -2);
}

reply changed_body(lua_State* L, vm& v) {
  if (!to_object<watch_receiver_object>(L, 1)) return wrong_receiver(L, v);
  return perform<changed_verb>(L, v, changed_body);
}

template <bool Marks>
reply get_watched_body(lua_State* L, vm& v) {
  watch_receiver_object* receiver = to_object<watch_receiver_object>(L, 1);
  if (!receiver) return wrong_receiver(L, v);
  if (Marks) receiver->seen.mark_seen();
  push_watched(L);
  return 1;
}

// The stack is [receiver, predicate]. What the predicate has been asked about is seen; a value that it set itself is not.
reply wait_until_it_holds(lua_State* L, vm& v);

reply changed_meanwhile(lua_State* L, vm& v) {
  lua_settop(L, 2);
  return object_at<watch_receiver_object>(L, 1).seen.take() ? wait_until_it_holds(L, v) : push_closed(L);
}

reply wait_until_it_holds(lua_State* L, vm& v) {
  watch_subscription& seen = object_at<watch_receiver_object>(L, 1).seen;
  for (;;) {
    seen.mark_seen();
    push_watched(L);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    protect::call(L, 1, 1);
    const bool holds = lua_toboolean(L, 4) != 0;
    lua_settop(L, 3);
    if (holds) return 1;
    lua_settop(L, 2);
    if (!seen.claim()) return wait_for(L, v, seen, changed_meanwhile);
    if (!seen.take()) return push_closed(L);
  }
}

reply wait_for_body(lua_State* L, vm& v) {
  if (!to_object<watch_receiver_object>(L, 1)) return wrong_receiver(L, v);
  if (!is_callable(L, 2)) return bad_argument(v, 2, "a function expected", L);
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (!spend(v)) return yield_and_retry(L, v, wait_for_body);
  lua_settop(L, 2);
  return wait_until_it_holds(L, v);
}

reply leave_body(lua_State* L, vm& v) {
  watch_receiver_object* receiver = to_object<watch_receiver_object>(L, 1);
  if (!receiver) return wrong_receiver(L, v);
  receiver->seen.leave();
  return 0;
}

reply watch_body(lua_State* L, vm& v) {
  if (lua_isnoneornil(L, 1)) return refuse_nil(v, 1);
  push_object<lua_watch>(L, type_name::watch, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

}  // namespace

void open_watches(lua_State* L) {
  constexpr library_function functions[] = {{"watch", protect::native<watch_body>}};
  set_functions(L, functions);
}

void define_watch(lua_State* L) {
  constexpr library_function methods[] = {
      {"set", protect::native<set_body>},     {"update", protect::native<update_body>},
      {"get", protect::native<get_body>},     {"subscribe", protect::native<subscribe_body>},
      {"close", protect::native<close_body>}, {"stats", protect::native<stats_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>}};
  define_type(L, type_name::watch, "perilune.watch", methods, metamethods);
  constexpr library_function receiver_methods[] = {
      {"changed", protect::native<changed_body>},
      {"changed_op", protect::native<make_operation<changed_verb, watch_receiver_object>>},
      {"get", protect::native<get_watched_body<false>>},
      {"get_and_mark", protect::native<get_watched_body<true>>},
      {"wait_for", protect::native<wait_for_body>},
      {"close", protect::native<leave_body>},
  };
  constexpr library_function receiver_metamethods[] = {{"__close", protect::native<leave_body>},
                                                       {"__gc", protect::native<leave_body>}};
  define_type(L, type_name::watch_receiver, "perilune.watch_receiver", receiver_methods, receiver_metamethods);
}

}  // namespace perilune
