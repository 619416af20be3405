// peri.sleep, peri.now, peri.clock, peri.interval and the sleeping operations. See lua-api: Time.
#include <chrono>
#include <cmath>
#include <cstring>

#include <perilune/timer.hpp>

#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "option_table.hpp"

namespace perilune {

namespace {

detail::timer_operation timer_wait;

instant now_of(vm& v) noexcept { return v.host_runtime().time().now(); }

// The instant `seconds` from now; infinity is the instant that never comes.
std::uint64_t after(vm& v, double seconds) noexcept {
  return static_cast<std::uint64_t>(saturating_add(now_of(v), from_seconds(seconds)).count());
}

reply slept(lua_State*, vm&) { return 0; }

reply sleep_body(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 1, seconds); refused < 0) return refused;
  lua_task& task = v.running();
  if (task.cancel_pending()) return action::raise_cancel;
  if (!protect::suspendable(L, task)) return action::raise_unsuspendable;
  if (seconds <= 0) return yield_and_retry(L, v, [](lua_State*, vm& w) -> reply {
    return w.running().cancel_pending() ? action::raise_cancel : 0;
  });
  task.deadline = after(v, seconds);
  return wait_for(L, v, timer_wait, slept);
}

// sleep_op(s) counts from each use; until_op(t) is absolute.
struct sleep_kind final : operation_kind {
  explicit constexpr sleep_kind(const char* n, bool r) : name_(n), relative_(r) {}
  const char* name() const noexcept override { return name_; }
  int attempt(lua_State* L, vm& v, int at) const override {
    if (relative_) return lua_tonumber(L, at) <= 0 ? 0 : not_ready;
    return to_seconds(now_of(v)) >= lua_tonumber(L, at) ? 0 : not_ready;
  }
  operation& arm_target(lua_State* L, vm& v, int at, waiter& by) const override {
    const double value = lua_tonumber(L, at);
    by.deadline = relative_ ? after(v, value) : static_cast<std::uint64_t>(from_seconds(value).count());
    return timer_wait;
  }
  int collect(lua_State*, vm&, int) const override { return 0; }

 private:
  const char* name_;
  bool relative_;
};
constexpr sleep_kind sleep_verb{"sleep", true};
constexpr sleep_kind until_verb{"until", false};

template <const sleep_kind& Kind>
reply sleep_op_body(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 1, seconds); refused < 0) return refused;
  push_operation(L, Kind, 1, false);
  return 1;
}

reply now_body(lua_State* L, vm& v) {
  lua_pushnumber(L, to_seconds(now_of(v)));
  return 1;
}

reply clock_body(lua_State* L, vm&) {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  lua_pushnumber(L, std::chrono::duration<double>(since_epoch).count());
  return 1;
}

// Intervals. Ticks stand on a grid of `period`; what happens to those that were missed is the interval's mode. A tick that is
// late by no more than `tolerance` was not missed.
constexpr duration tolerance = std::chrono::milliseconds(5);

// Waiting for a tick: nothing is taken before its task has resumed, so a cancellation in between finds it where it was.
class tick_operation final : public operation {
 public:
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override { timer_wait.arm(by); }
  void disarm(waiter& by) noexcept override { timer_wait.disarm(by); }
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return {"tick", "interval", nullptr}; }
};
tick_operation tick_wait;

enum class missed_ticks : unsigned char { burst, delay, skip };

struct interval {
  static constexpr std::uint64_t tag = 0x74696d65'60a4d18fULL;
  duration period;
  instant next;
  missed_ticks mode;
  bool closed = false;

  // A tick fell due and is taken at `now`: where the next one stands.
  void take(instant now) noexcept {
    const bool missed = now > saturating_add(next, tolerance);
    if (mode == missed_ticks::delay && missed) {
      next = saturating_add(now, period);
    } else if (mode == missed_ticks::skip && missed && now >= saturating_add(next, period)) {
      const auto behind = (now - next) / period;
      next = saturating_add(next, period * (behind + 1));
    } else {
      next = saturating_add(next, period);
    }
  }
};

struct tick_kind final : operation_kind {
  const char* name() const noexcept override { return "tick"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& every = object_at<interval>(L, at);
    if (every.closed) return raise_text(v, "the interval is closed");
    if (now_of(v) < every.next) return not_ready;
    return take(L, v, every);
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter& by) const override {
    by.deadline = static_cast<std::uint64_t>(object_at<interval>(L, at).next.count());
    return tick_wait;
  }
  int collect(lua_State* L, vm& v, int at) const override { return take(L, v, object_at<interval>(L, at)); }

 private:
  // Returns the instant at which the tick stood.
  static int take(lua_State* L, vm& v, interval& every) {
    lua_pushnumber(L, to_seconds(every.next));
    every.take(now_of(v));
    return 1;
  }
};
constexpr tick_kind tick_verb;

reply tick_body(lua_State* L, vm& v) {
  if (!to_object<interval>(L, 1)) return bad_argument(v, 1, "an interval expected: call it with ':'", L);
  return perform<tick_verb>(L, v, tick_body);
}

reply reset_body(lua_State* L, vm& v) {
  interval* every = to_object<interval>(L, 1);
  if (!every) return bad_argument(v, 1, "an interval expected: call it with ':'", L);
  every->next = saturating_add(now_of(v), every->period);
  return 0;
}

reply close_interval(lua_State* L, vm& v) {
  interval* every = to_object<interval>(L, 1);
  if (!every) return bad_argument(v, 1, "an interval expected: call it with ':'", L);
  every->closed = true;
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
  push_object<interval>(L, 0, interval{period, now_of(v), mode});
  set_type(L, type_name::interval);
  return 1;
}

}  // namespace

void open_time(lua_State* L) {
  constexpr library_function functions[] = {
      {"sleep", protect::native<sleep_body>},
      {"sleep_op", protect::native<sleep_op_body<sleep_verb>>},
      {"until_op", protect::native<sleep_op_body<until_verb>>},
      {"now", protect::native<now_body>},
      {"clock", protect::native<clock_body>},
      {"interval", protect::native<interval_body>},
  };
  set_functions(L, functions);
  constexpr library_function methods[] = {
      {"tick", protect::native<tick_body>},
      {"tick_op", protect::native<make_operation<tick_verb, interval>>},
      {"reset", protect::native<reset_body>},
      {"close", protect::native<close_interval>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_interval>}};
  define_type(L, type_name::interval, "perilune.interval", methods, metamethods);
}

}  // namespace perilune
