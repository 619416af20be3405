// wait_group: counts work that is under way; whoever waits goes on when nothing is left.
#pragma once

#include <cstddef>
#include <limits>

#include <perilune/delegated_operation.hpp>
#include <perilune/task.hpp>

namespace perilune {

class wait_group_core final : public operation {
 public:
  // How many are to be waited for.
  std::size_t count() const noexcept { return count_; }
  // False, and nothing changed, when that is more than can be counted.
  bool add(std::size_t more) noexcept {
    if (more > std::numeric_limits<std::size_t>::max() - count_) return false;
    count_ += more;
    return true;
  }
  // False, and nothing changed, when nothing is under way.
  bool done() noexcept {
    if (count_ == 0) return false;
    if (--count_ == 0)
      while (waiter* each = waiters_.pop_front()) for_outsiders().grant(*each);
    return true;
  }

  bool try_commit(waiter&) override { return count_ == 0; }
  void arm(waiter& by) override { waiters_.push_back(by); }
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return {"wait", "wait_group", this}; }

 private:
  std::size_t count_ = 0;
  wait_queue waiters_;
};

namespace detail {

// Throws kind misuse.
[[noreturn]] void refuse_count(const char* why);

}  // namespace detail

class wait_group {
  class wait_operation final : public delegated_operation<wait_group_core> {
   public:
    using delegated_operation::delegated_operation;
    unit take_result() const noexcept { return {}; }
  };

 public:
  // Throw kind misuse when the count would leave its range.
  void add(std::size_t more = 1) { check(core_.add(more), "add: too much to count"); }
  void done() { check(core_.done(), "done was called more often than add"); }
  auto wait() { return detail::awaiter<wait_operation>(std::in_place, core_); }
  wait_operation wait_op() { return wait_operation(core_); }
  std::size_t count() const noexcept { return core_.count(); }

 private:
  static void check(bool counted, const char* why) {
    if (!counted) detail::refuse_count(why);
  }
  wait_group_core core_;
};

}  // namespace perilune
