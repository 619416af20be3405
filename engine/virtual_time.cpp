// Waiting for the quiet, in the worker's queue of those who do. See virtual_time.hpp; quiescence.cpp serves them.
#include <perilune/virtual_time.hpp>

#include <algorithm>

#include "worker.hpp"

namespace perilune {

namespace {

wait_queue& queue_of(const waiter& by) noexcept { return detail::worker::of(*by.task->home).quiet_waiters(); }

}  // namespace

void detail::quiet_operation::arm(waiter& by) { queue_of(by).push_back(by); }
void detail::quiet_operation::disarm(waiter& by) noexcept { queue_of(by).erase(by); }

void advance_operation::arm(waiter& by) {
  by.deadline = static_cast<std::uint64_t>(saturating_add(detail::worker::here().time().now(), by_).count());
  queue_of(by).push_back(by);
}
void advance_operation::disarm(waiter& by) noexcept { queue_of(by).erase(by); }

advance_operation advance_op(duration by) {
  if (detail::worker::here().time().kind() != clock::mode::virtual_ || by < duration::zero())
    throw task_error({error_kind::misuse, "advance needs a virtual clock and a span that is not negative", 0, {}});
  return advance_operation(by);
}

}  // namespace perilune
