// For tests that run inside the runtime: waiting until every other task is blocked, and moving virtual time. Both are one
// operation, "let time walk to an instant, and then until nothing more can run", with the present or a later one.
//
// Time walks from deadline to deadline, in order, and at each one whatever wakes runs until it is blocked again. It does
// so whether auto_advance is on or off, and has precedence over it. A task that waits for something outside counts as
// blocked: who needs its result waits for the task instead. Waiters belong to their worker; it serves one at a time.
#pragma once

#include <perilune/clock.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {

// Waiting for the instant in waiter::deadline and for the quiet after it. One per process: the instant lives in the waiter.
class quiet_operation final : public operation {
 public:
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"wait_all_blocked", "tasks", nullptr}; }
};

}  // namespace detail

// Commits when time has walked on by a span, counted from each use, and every other task is blocked.
class advance_operation final : public operation {
 public:
  explicit advance_operation(duration by) noexcept : by_(by) {}

  bool try_now(waiter&) noexcept { return false; }
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override {
    return {by_ == duration::zero() ? "wait_all_blocked" : "advance", "tasks", this};
  }
  unit take_result() const noexcept { return {}; }

 private:
  duration by_;
};

// Any clock: until no other task can run. Waiters for this count as blocked, and are served one by one.
inline advance_operation wait_all_blocked_op() noexcept { return advance_operation(duration::zero()); }

// A virtual clock: as if `by` went past, deadlines at the very end included. duration::max() walks until no deadline is left
// and nothing outside is pending, and stops at the last one. Throws kind misuse for another clock or a negative span.
advance_operation advance_op(duration by);

// Awaited in a task: until all else is blocked; until so much time has passed on a virtual clock.
inline auto wait_all_blocked() noexcept { return detail::awaiter<advance_operation>(std::in_place, duration::zero()); }
inline auto advance(duration by) { return detail::awaiter<advance_operation>(advance_op(by)); }

}  // namespace perilune
