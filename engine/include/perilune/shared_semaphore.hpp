// shared_semaphore: permits for tasks of all workers, in the order in which they were asked for: who asks for few does not
// overtake who asks for many. A handle, and a permit, is moved to and dropped on any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <perilune/shared_wait.hpp>
#include <perilune/task.hpp>

namespace perilune {

// The permits themselves. Any thread.
class permit_pot final : public shared_resource {
 public:
  explicit permit_pot(std::size_t permits) noexcept : permit_pot(permits, permits, false) {}
  permit_pot(std::size_t total, std::size_t available, bool closed) noexcept
      : total_(total), available_(available), closed_(closed) {}

  // A semaphore at one moment.
  struct counts {
    std::size_t total;  // permits there are, taken or not
    std::size_t available;
    std::size_t waiting;
    bool closed;
  };
  counts look();
  // False when it would have to wait, or is closed.
  bool try_take(std::size_t permits);
  // Takes them although there may be none: for what a caller counts that cannot wait.
  void take_over(std::size_t permits);
  void give(std::size_t permits);
  // Permits that are out do not come back.
  void forget(std::size_t permits);
  // Idempotent. Whoever waits is refused; permits that are out may still come back.
  void close();

 private:
  friend class permit_wait;
  struct place final : shared_place {
    place(std::shared_ptr<permit_pot> of, std::size_t permits) : shared_place(std::move(of)), wanted(permits) {}
    const std::size_t wanted;
  };
  void enter(shared_place& place) override;
  void leave(shared_place& place) override;
  void serve();

  std::size_t total_;
  std::size_t available_;
  std::size_t owed_ = 0;  // taken over what there was
  bool closed_;
  shared_queue waiting_;
};

// Waits for permits. What was granted goes back with it, unless taken.
class permit_wait : public shared_wait {
 public:
  bool try_commit(waiter&) override { return false; }
  wait_description describe() const noexcept override { return {"acquire", "semaphore", pot_.get()}; }
  // The permits are the caller's now: how many.
  std::size_t take() noexcept;

 protected:
  permit_wait(std::shared_ptr<permit_pot> pot, std::size_t permits) noexcept
      : pot_(std::move(pot)), permits_(permits) {}
  permit_wait(permit_wait&&) noexcept = default;
  permit_wait& operator=(permit_wait&&) = delete;
  ~permit_wait() {
    if (served()) pot_->give(take());
  }

  std::shared_ptr<permit_pot> pot_;
  std::size_t permits_;

 private:
  std::shared_ptr<shared_place> make_place() override;
};

// Permits that were taken; given back with it.
class shared_permit {
 public:
  shared_permit() noexcept = default;
  shared_permit(std::shared_ptr<permit_pot> of, std::size_t permits) noexcept : of_(std::move(of)), count_(permits) {}
  shared_permit(shared_permit&& other) noexcept : of_(std::move(other.of_)), count_(std::exchange(other.count_, 0)) {}
  shared_permit& operator=(shared_permit other) noexcept {
    std::swap(of_, other.of_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~shared_permit() { release(); }
  // Idempotent.
  void release() noexcept {
    if (const std::size_t all = std::exchange(count_, 0)) of_->give(all);
  }
  std::size_t count() const noexcept { return count_; }

 private:
  std::shared_ptr<permit_pot> of_;
  std::size_t count_ = 0;
};

// Waits for permits of a pot, on any worker.
class shared_acquire_operation final : public permit_wait {
 public:
  // Made by acquire_op.
  shared_acquire_operation(std::shared_ptr<permit_pot> pot, std::size_t permits)
      : permit_wait(std::move(pot), permits) {}
  shared_acquire_operation(shared_acquire_operation&&) noexcept = default;
  ~shared_acquire_operation() = default;
  // Throws kind misuse when there are never so many permits.
  bool try_now(waiter&);
  bool try_commit(waiter& by) override { return try_now(by); }
  // Nothing when the semaphore is closed.
  std::optional<shared_permit> take_result() noexcept;

 private:
  bool taken_ = false;
};

class shared_semaphore {
 public:
  // So many permits.
  explicit shared_semaphore(std::size_t permits) : pot_(std::make_shared<permit_pot>(permits)) {}

  // Waits for so many permits. Yields std::optional<shared_permit>, empty when the semaphore is closed.
  auto acquire(std::size_t permits = 1) const {
    return detail::awaiter<shared_acquire_operation>(std::in_place, pot_, permits);
  }
  shared_acquire_operation acquire_op(std::size_t permits = 1) const { return {pot_, permits}; }
  // Nothing when it would have to wait, or the semaphore is closed. Any thread, as what follows.
  std::optional<shared_permit> try_acquire(std::size_t permits = 1) const {
    if (!pot_->try_take(permits)) return std::nullopt;
    return shared_permit(pot_, permits);
  }
  void close() const { pot_->close(); }
  std::size_t available() const { return pot_->look().available; }
  std::size_t total() const { return pot_->look().total; }
  std::size_t waiting() const { return pot_->look().waiting; }
  bool closed() const { return pot_->look().closed; }

 private:
  std::shared_ptr<permit_pot> pot_;
};

}  // namespace perilune
