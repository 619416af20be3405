// Waiters that only something outside the runtime can wake. Each of them counts as external work of its worker for as
// long as it stands here. Owned by its resource; the worker's thread only.
#pragma once

#include <perilune/operation.hpp>

#include "worker.hpp"

namespace perilune::detail {

class external_queue {
 public:
  bool empty() const noexcept { return waiters_.empty(); }
  waiter* front() const noexcept { return waiters_.front(); }

  void arm(waiter& by) noexcept {
    waiters_.push_back(by);
    worker::of(*by.task->home).external_begins();
  }
  void disarm(waiter& by) noexcept {
    waiters_.erase(by);
    worker::of(*by.task->home).external_ends();
  }
  void grant_front() noexcept {
    waiter& by = *waiters_.pop_front();
    worker& home = worker::of(*by.task->home);
    home.external_ends();
    home.tasks().grant(by);
    home.kick();
  }
  void grant_all() noexcept {
    while (!waiters_.empty()) grant_front();
  }

 private:
  wait_queue waiters_;
};

}  // namespace perilune::detail
