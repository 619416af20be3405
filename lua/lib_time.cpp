// peri.sleep, peri.now, peri.clock and the sleeping operations. See lua-api: Time.
#include <chrono>

#include <perilune/timer.hpp>

#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"

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
  if (seconds <= 0)
    return yield_and_retry(
        L, v, [](lua_State*, vm& w) -> reply { return w.running().cancel_pending() ? action::raise_cancel : 0; });
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

}  // namespace

void open_time(lua_State* L) {
  constexpr library_function functions[] = {
      {"sleep", protect::native<sleep_body>},
      {"sleep_op", protect::native<sleep_op_body<sleep_verb>>},
      {"until_op", protect::native<sleep_op_body<until_verb>>},
      {"now", protect::native<now_body>},
      {"clock", protect::native<clock_body>},
  };
  set_functions(L, functions);
}

}  // namespace perilune
