// The arms of one select while its task waits. Owned by the awaiting frame; the scheduler tells it which arm committed.
#pragma once

#include <cstddef>

#include <perilune/operation.hpp>

namespace perilune {

class select_wait {
 public:
  // No arm.
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  select_wait() noexcept = default;
  // Of so many waiters, one for each operation, which outlive it.
  select_wait(waiter* arms, std::size_t count) noexcept : arms_(arms), count_(count) {}

  // Begins anew with these.
  void assign(waiter* arms, std::size_t count) noexcept {
    arms_ = arms;
    count_ = count;
    winner_ = none;
  }

  // Queues every arm, in order. None of them was ready. If one throws, none is queued.
  void arm() {
    unless_armed guard{this};
    for (std::size_t next = 0; next < count_; ++next) {
      arms_[next].op->arm(arms_[next]);
      arms_[next].become(wait_state::armed);
    }
    guard.wait = nullptr;
  }
  // `winner` was granted: all others leave their queues.
  void commit(waiter& winner) noexcept {
    winner_ = static_cast<std::size_t>(&winner - arms_);
    withdraw_but(winner_);
  }
  void withdraw() noexcept { withdraw_but(none); }
  // Takes back the grant of the arm that won, if there is one that can be taken back.
  bool give_back() noexcept {
    if (winner_ == none || !arms_[winner_].op->give_back(arms_[winner_])) return false;
    arms_[winner_].become(wait_state::idle);
    winner_ = none;
    return true;
  }
  std::size_t winner() const noexcept { return winner_; }
  std::size_t size() const noexcept { return count_; }
  const waiter& operator[](std::size_t i) const noexcept { return arms_[i]; }

 private:
  struct unless_armed {
    select_wait* wait;
    ~unless_armed() {
      if (wait) wait->withdraw();
    }
  };
  void withdraw_but(std::size_t kept) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (i == kept || arms_[i].waiting() != wait_state::armed) continue;
      arms_[i].op->disarm(arms_[i]);
      arms_[i].become(wait_state::idle);
    }
  }

  waiter* arms_ = nullptr;
  std::size_t count_ = 0;
  std::size_t winner_ = none;
};

}  // namespace perilune
