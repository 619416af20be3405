// notify: one task tells another that there is something to look at. Told when nobody waits, it remembers that once.
#pragma once

#include <perilune/delegated_operation.hpp>
#include <perilune/task.hpp>

namespace perilune {

class notify_core final : public operation {
 public:
  // Wakes the first in line; when nobody waits, the next wait returns at once. Several such calls count as one.
  void notify_one() noexcept {
    if (waiter* first = waiters_.pop_front()) {
      first->deadline = to_one;
      return for_outsiders().grant(*first);
    }
    stored_ = true;
  }
  // Wakes whoever waits now. Stores nothing.
  void notify_all() noexcept {
    while (waiter* each = waiters_.pop_front()) {
      each->deadline = to_all;
      for_outsiders().grant(*each);
    }
  }
  bool stored() const noexcept { return stored_; }
  std::size_t waiting() const noexcept { return waiters_.count(); }

  bool try_commit(waiter&) override { return std::exchange(stored_, false); }
  void arm(waiter& by) override { waiters_.push_back(by); }
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  // What was meant for one goes to the next.
  bool give_back(waiter& by) noexcept override {
    if (by.deadline == to_one) notify_one();
    return true;
  }
  wait_description describe() const noexcept override { return {"wait", "notify", this}; }

 private:
  enum meant : std::uint64_t { to_all, to_one };
  wait_queue waiters_;
  bool stored_ = false;
};

class notify {
  class wait_operation final : public delegated_operation<notify_core> {
   public:
    using delegated_operation::delegated_operation;
    unit take_result() const noexcept { return {}; }
  };

 public:
  // Waits for a notification.
  auto wait() { return detail::awaiter<wait_operation>(std::in_place, core_); }
  wait_operation wait_op() { return wait_operation(core_); }
  // Wakes the first that waits, or the next that comes; wakes all who wait now. Never wait.
  void notify_one() noexcept { core_.notify_one(); }
  void notify_all() noexcept { core_.notify_all(); }

 private:
  notify_core core_;
};

}  // namespace perilune
