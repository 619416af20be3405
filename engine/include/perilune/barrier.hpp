// barrier: so many tasks wait for each other, then all go on, and it begins anew. The last to come is the leader. Who is
// cancelled while it waits no longer counts.
#pragma once

#include <cstddef>

#include <perilune/delegated_operation.hpp>
#include <perilune/task.hpp>

namespace perilune {

class barrier_core final : public operation {
 public:
  // Of so many tasks, at least 1.
  explicit barrier_core(std::size_t parties) noexcept : parties_(parties) {}

  // How many it is for, how many wait now, and whether one more opens it.
  std::size_t parties() const noexcept { return parties_; }
  std::size_t waiting() const noexcept { return waiting_; }
  bool completes() const noexcept { return waiting_ + 1 >= parties_; }

  // True for the last to come, the leader.
  bool try_commit(waiter&) override {
    if (!completes()) return false;
    while (waiter* each = waiters_.pop_front()) {
      --waiting_;
      for_outsiders().grant(*each);
    }
    return true;
  }
  void arm(waiter& by) override {
    ++waiting_;
    waiters_.push_back(by);
  }
  void disarm(waiter& by) noexcept override {
    --waiting_;
    waiters_.erase(by);
  }
  // The others have gone on.
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"wait", "barrier", this}; }

 private:
  std::size_t parties_;
  std::size_t waiting_ = 0;
  wait_queue waiters_;
};

class barrier {
  class wait_operation final : public delegated_operation<barrier_core> {
   public:
    using delegated_operation::delegated_operation;
    bool try_commit(waiter& by) override { return leads_ = resource_->try_commit(by); }
    bool take_result() const noexcept { return leads_; }

   private:
    bool leads_ = false;
  };

 public:
  // For `parties` tasks, at least 1.
  explicit barrier(std::size_t parties) noexcept : core_(parties) {}
  // Yields whether this task is the leader.
  auto wait() { return detail::awaiter<wait_operation>(std::in_place, core_); }
  wait_operation wait_op() { return wait_operation(core_); }
  std::size_t waiting() const noexcept { return core_.waiting(); }

 private:
  barrier_core core_;
};

}  // namespace perilune
