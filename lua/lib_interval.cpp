// peri.interval. See lua-api: Time. The rules are the engine's interval_core.
#include <perilune/interval.hpp>

#include <cstring>

#include <perilune/runtime.hpp>

#include "library.hpp"
#include "lua_select.hpp"
#include "option_table.hpp"
#include "turn_kind.hpp"

namespace perilune {

namespace {

struct lua_interval final : interval_core {
  static constexpr std::uint64_t tag = 0x74696d65'60a4d18fULL;
  using interval_core::interval_core;
};

turns& ticks_of(lua_interval& every) { return every; }

struct tick_kind final : turn_kind<lua_interval, ticks_of> {
  constexpr tick_kind() noexcept : turn_kind("tick") {}
  int collect(lua_State* L, vm& v, int at) const override {
    const auto stood = object_at<lua_interval>(L, at).take();
    if (!stood) return raise_text(v, "the interval is closed");
    lua_pushnumber(L, to_seconds(*stood));
    return 1;
  }
};
constexpr tick_kind tick_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "an interval expected: call it with ':'", L); }

reply tick_body(lua_State* L, vm& v) {
  if (!to_object<lua_interval>(L, 1)) return wrong_self(L, v);
  return perform<tick_verb>(L, v, tick_body);
}

reply reset_body(lua_State* L, vm& v) {
  lua_interval* every = to_object<lua_interval>(L, 1);
  if (!every) return wrong_self(L, v);
  every->reset();
  return 0;
}

reply close_body(lua_State* L, vm& v) {
  lua_interval* every = to_object<lua_interval>(L, 1);
  if (!every) return wrong_self(L, v);
  every->close();
  return 0;
}

// A reply < 0 refuses the options.
reply read_missed(lua_State* L, vm& v, missed_ticks& mode) {
  if (lua_isnoneornil(L, 2)) return 0;
  if (!lua_istable(L, 2)) return bad_argument(v, 2, "a table of options expected", L);
  constexpr const char* known[] = {"missed"};
  if (const reply refused = check_option_names(L, v, 2, "interval", known); refused < 0) return refused;
  lua_getfield(L, 2, "missed");
  const char* name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : nullptr;
  if (lua_isnil(L, -1) || (name && !std::strcmp(name, "burst"))) return 0;
  if (name && !std::strcmp(name, "delay")) return mode = missed_ticks::delay, 0;
  if (name && !std::strcmp(name, "skip")) return mode = missed_ticks::skip, 0;
  return bad_option(L, v, "missed", "interval", "\"burst\", \"delay\" or \"skip\" expected");
}

reply interval_body(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 1, seconds); refused < 0) return refused;
  const duration period = from_seconds(seconds);
  if (period <= duration::zero()) return bad_argument(v, 1, "seconds must be more than 0", L);
  missed_ticks mode = missed_ticks::burst;
  if (const reply refused = read_missed(L, v, mode); refused < 0) return refused;
  push_object<lua_interval>(L, type_name::interval, 0, v.host_runtime().time(), period, mode);
  return 1;
}

}  // namespace

void open_intervals(lua_State* L) {
  constexpr library_function functions[] = {{"interval", protect::native<interval_body>}};
  set_functions(L, functions);
}

void define_interval(lua_State* L) {
  constexpr library_function methods[] = {
      {"tick", protect::native<tick_body>},
      {"tick_op", protect::native<make_operation<tick_verb, lua_interval>>},
      {"reset", protect::native<reset_body>},
      {"close", protect::native<close_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>}};
  define_type(L, type_name::interval, "perilune.interval", methods, metamethods);
}

}  // namespace perilune
