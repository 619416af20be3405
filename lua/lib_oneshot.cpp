// peri.oneshot. See lua-api: Channels. The rules are the engine's oneshot_core; the value is user value 1.
#include <perilune/oneshot.hpp>

#include "library.hpp"
#include "turn_kind.hpp"

namespace perilune {

namespace {

struct lua_oneshot final : oneshot_core {
  static constexpr std::uint64_t tag = 0x6f6e6573'5ad2c9e3ULL;
};

turns& value_of(lua_oneshot& cell) { return cell; }
turns& end_of(lua_oneshot& cell) { return cell.ending(); }

struct recv_kind final : turn_kind<lua_oneshot, value_of> {
  constexpr recv_kind() noexcept : turn_kind("recv") {}
  int collect(lua_State* L, vm&, int at) const override {
    if (!object_at<lua_oneshot>(L, at).take()) return push_closed(L);
    lua_getiuservalue(L, at, 1);
    lua_pushnil(L);
    lua_setiuservalue(L, at, 1);
    return 1;
  }
};
constexpr recv_kind recv_verb;

struct closed_kind final : turn_kind<lua_oneshot, end_of> {
  constexpr closed_kind() noexcept : turn_kind("closed") {}
  int collect(lua_State* L, vm&, int at) const override {
    object_at<lua_oneshot>(L, at).ending().accepted();
    lua_pushboolean(L, 1);
    return 1;
  }
};
constexpr closed_kind closed_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a oneshot expected: call it with ':'", L); }

reply send_body(lua_State* L, vm& v) {
  lua_oneshot* cell = to_object<lua_oneshot>(L, 1);
  if (!cell) return wrong_self(L, v);
  if (lua_isnoneornil(L, 2)) return refuse_nil(v, 2);
  if (cell->sent()) return raise_text(v, "this oneshot has its value: it is sent once");
  if (cell->closed()) return push_closed(L);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 1, 1);
  cell->filled();
  lua_pushboolean(L, 1);
  return 1;
}

reply recv_body(lua_State* L, vm& v) {
  if (!to_object<lua_oneshot>(L, 1)) return wrong_self(L, v);
  return perform<recv_verb>(L, v, recv_body);
}

reply try_recv_body(lua_State* L, vm& v) {
  if (!to_object<lua_oneshot>(L, 1)) return wrong_self(L, v);
  return attempt_or(L, v, recv_verb, "empty");
}

reply close_body(lua_State* L, vm& v) {
  lua_oneshot* cell = to_object<lua_oneshot>(L, 1);
  if (!cell) return wrong_self(L, v);
  cell->close();
  return 0;
}

reply stats_body(lua_State* L, vm& v) {
  const lua_oneshot* cell = to_object<lua_oneshot>(L, 1);
  if (!cell) return wrong_self(L, v);
  const oneshot_stats stats = cell->stats();
  lua_createtable(L, 0, 4);
  set_flag(L, "sent", stats.sent);
  set_flag(L, "received", stats.received);
  set_flag(L, "closed", stats.closed);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  return 1;
}

reply oneshot_body(lua_State* L, vm&) {
  push_object<lua_oneshot>(L, type_name::oneshot, 1);
  return 1;
}

}  // namespace

void open_oneshots(lua_State* L) {
  constexpr library_function functions[] = {{"oneshot", protect::native<oneshot_body>}};
  set_functions(L, functions);
}

void define_oneshot(lua_State* L) {
  constexpr library_function methods[] = {
      {"send", protect::native<send_body>},
      {"recv", protect::native<recv_body>},
      {"try_recv", protect::native<try_recv_body>},
      {"recv_op", protect::native<make_operation<recv_verb, lua_oneshot>>},
      {"closed_op", protect::native<make_operation<closed_verb, lua_oneshot>>},
      {"close", protect::native<close_body>},
      {"stats", protect::native<stats_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>}};
  define_type(L, type_name::oneshot, "perilune.oneshot", methods, metamethods);
}

}  // namespace perilune
