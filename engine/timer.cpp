// Sleeping waiters in the worker's timer queue. See timer.hpp.
#include <perilune/timer.hpp>

#include <algorithm>

#include "worker.hpp"

namespace perilune {

instant now() noexcept { return detail::worker::here().time().now(); }

namespace {

void insert(waiter& by, instant at) noexcept {
  by.kind = static_cast<std::uint8_t>(timer_kind::waiter);
  detail::worker::of(*by.task->home).timers().insert(by, detail::timer_queue::deadline_of(at));
}

void erase(waiter& by) noexcept { detail::worker::of(*by.task->home).timers().erase(by); }

}  // namespace

void detail::timer_operation::arm(waiter& by) { insert(by, instant(static_cast<std::int64_t>(by.deadline))); }
void detail::timer_operation::disarm(waiter& by) noexcept { erase(by); }

void sleep_operation::arm(waiter& by) {
  insert(by, relative_ ? saturating_add(now(), std::max(value_, duration::zero())) : value_);
}
void sleep_operation::disarm(waiter& by) noexcept { erase(by); }

}  // namespace perilune
