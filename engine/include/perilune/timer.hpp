// Sleeping on the worker's clock. A sleep is an operation; arming and cancelling it is O(1) and allocates nothing. Time
// that has passed cannot be given back: a task whose sleep is over wakes from it even if it was cancelled in that moment.
#pragma once

#include <cstdint>

#include <perilune/clock.hpp>
#include <perilune/task.hpp>

namespace perilune {

// The running worker's clock.
instant now() noexcept;

namespace detail {

// Waiting for the instant in waiter::deadline. One per process: the instant lives in the waiter.
class timer_operation final : public operation {
 public:
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"sleep", "timer", nullptr}; }
};

}  // namespace detail

// Waits until an instant, or for a span that counts from each use.
class sleep_operation final : public operation {
 public:
  static sleep_operation for_span(duration span) noexcept { return sleep_operation(span, true); }
  static sleep_operation until(instant at) noexcept { return sleep_operation(at, false); }

  bool try_now(waiter&) noexcept { return false; }
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"sleep", "timer", this}; }
  unit take_result() const noexcept { return {}; }

 private:
  sleep_operation(duration value, bool relative) noexcept : value_(value), relative_(relative) {}
  duration value_;
  bool relative_;
};

// The same for select: done after `span`, or at this time of the runtime's clock.
inline sleep_operation sleep_op(duration span) noexcept { return sleep_operation::for_span(span); }
inline sleep_operation until_op(instant at) noexcept { return sleep_operation::until(at); }
// Never early. A span of 0 or less is still a suspension point.
inline auto sleep(duration span) noexcept { return detail::awaiter<sleep_operation>(std::in_place, sleep_op(span)); }
inline auto sleep_until(instant at) noexcept { return detail::awaiter<sleep_operation>(std::in_place, until_op(at)); }

}  // namespace perilune
