// semaphore: so many permits, taken one or several at a time, in the order in which they were asked for: who asks for few
// does not overtake who asks for many. A permit belongs to whoever has it, so it can be handed to another task.
//
// Once it is shared, its permits stand in a pot that semaphores of other workers take from as well, and whoever waits has his
// place there. See shared_semaphore.hpp.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <perilune/delegated_operation.hpp>
#include <perilune/holding.hpp>
#include <perilune/shared_semaphore.hpp>
#include <perilune/task.hpp>

namespace perilune {

// How many permits a waiter wants stands in waiter::deadline, set before try_commit and arm; 0 once it was refused.
class semaphore_core : public operation, public holdable {
 public:
  explicit semaphore_core(std::size_t permits) noexcept : total_(permits), available_(permits) {}
  // One that takes from a pot.
  explicit semaphore_core(std::shared_ptr<permit_pot> pot) noexcept : pot_(std::move(pot)) {}

  // The pot that its permits stand in from now on.
  const std::shared_ptr<permit_pot>& share();
  // nullptr until it is shared.
  const std::shared_ptr<permit_pot>& pot() const noexcept { return pot_; }
  std::size_t available() const noexcept { return pot_ ? pot_->look().available : available_; }
  // Permits there are, taken or not.
  std::size_t total() const noexcept { return pot_ ? pot_->look().total : total_; }
  bool closed() const noexcept { return pot_ ? pot_->look().closed : closed_; }
  bool try_take(std::size_t permits) noexcept;
  // Begins the holding of permits that the task was granted.
  void hold(holding& held, task_header& by, std::size_t permits) noexcept;
  void release(holding& held, bool abandons) noexcept override;
  // The permits never come back.
  void forget(holding& held) noexcept;
  // Moves `permits` of a holding to a new one. Requires that it has them.
  void split(holding& from, holding& to, task_header& by, std::size_t permits) noexcept;
  // Ends `from`; `to` has its permits as well. Requires that both are of this semaphore.
  void merge(holding& to, holding& from) noexcept;
  // Idempotent. Whoever waits, and whoever asks from now on, is refused; permits that are out may still come back.
  void close() noexcept;

  // True also when closed. Throws kind misuse when there are never so many permits.
  bool try_commit(waiter& by) override;
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter& by) noexcept override;
  wait_description describe() const noexcept override { return {"acquire", "semaphore", this}; }
  std::size_t waiting() const noexcept override { return pot_ ? pot_->look().waiting : waiters_.count(); }
  const char* resource() const noexcept override { return "semaphore"; }

 protected:
  ~semaphore_core();
  // Tells a waiter that the semaphore is closed.
  virtual void refuse(waiter& by) noexcept = 0;

 private:
  // A waiter's place at the pot, until it is granted.
  class pot_wait;
  void arm_at_pot(waiter& by);
  std::shared_ptr<pot_wait> leave_pot(const waiter& by) noexcept;
  void admit() noexcept;
  void give(std::size_t permits) noexcept;

  std::shared_ptr<permit_pot> pot_;
  std::vector<std::shared_ptr<pot_wait>> at_pot_;
  std::size_t total_ = 0;
  std::size_t available_ = 0;
  wait_queue waiters_;
  bool closed_ = false;
};

// Permits that somebody holds. Gives them back when it goes. Movable, of one worker.
class permit : public guard {
 public:
  using guard::guard;
  // 0 once released, forgotten or merged into another.
  std::size_t count() const noexcept { return held_.of ? held_.permits : 0; }
  // A permit for `permits` of these, or nothing when there are fewer. Requires a running task.
  std::optional<permit> split(std::size_t permits);
  // Takes over what `other` has. Throws kind misuse when it is of another semaphore, or one of them was released.
  void merge(permit&& other);
  // The semaphore has so many permits fewer from now on. Throws kind misuse when released before.
  void forget();
};

// Acquires. Yields std::optional<permit>, empty when the semaphore is closed.
class acquire_operation final : public delegated_operation<semaphore_core> {
 public:
  acquire_operation(semaphore_core& s, std::size_t permits, hold_site at) noexcept
      : delegated_operation(s), permits_(permits), site_(at) {}
  bool try_commit(waiter& by) override {
    by.deadline = permits_;
    refused_ = resource_->closed();
    return refused_ || resource_->try_commit(by);
  }
  void arm(waiter& by) override {
    by.deadline = permits_;
    resource_->arm(by);
  }
  std::optional<permit> take_result() noexcept;

 private:
  friend class semaphore;
  std::size_t permits_;
  hold_site site_;
  bool refused_ = false;
};

class semaphore final : private semaphore_core {
 public:
  // So many permits.
  explicit semaphore(std::size_t permits) noexcept : semaphore_core(permits) {}

  // Waits for so many permits. Kind misuse when there are never so many.
  auto acquire(std::size_t permits = 1, hold_site at = std::source_location::current()) {
    return detail::awaiter<acquire_operation>(std::in_place, *static_cast<semaphore_core*>(this), permits, at);
  }
  acquire_operation acquire_op(std::size_t permits = 1, hold_site at = std::source_location::current()) {
    return {*this, permits, at};
  }
  // Requires a running task. Nothing when it would have to wait, or the semaphore is closed.
  std::optional<permit> try_acquire(std::size_t permits = 1, hold_site at = std::source_location::current());
  using semaphore_core::available;
  using semaphore_core::close;
  using semaphore_core::closed;
  using semaphore_core::total;
  using semaphore_core::waiting;

 private:
  void refuse(waiter& by) noexcept override { static_cast<acquire_operation&>(*by.op).refused_ = true; }
};

}  // namespace perilune
