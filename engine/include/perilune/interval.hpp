// interval: ticks on a grid of one period, the first at once. Who waits for a tick gets the instant at which it stood; a tick
// is one waiter's. What becomes of ticks that nobody took in time is the interval's mode; a tick that is late by no more than
// `tolerance` was not missed. Resetting or closing an interval moves or ends the waits that are under way.
//
// An interval is a handle to shared state: copies mean the same one. interval_core has the rules. Belongs to one worker;
// between ticks the host's thread may use what does not wait.
#pragma once

#include <optional>

#include <perilune/clock.hpp>
#include <perilune/home_worker.hpp>
#include <perilune/timer_node.hpp>
#include <perilune/turn_operation.hpp>

namespace perilune {

// What happens to ticks that came while nobody waited.
enum class missed_ticks : unsigned char {
  burst,  // all at once
  delay,  // one, and the next a period later
  skip,   // one, and the next on the grid
};

// A tick that is due is one turn; a waiter takes it when it resumes, so one that is cancelled in between leaves it where it
// stood. One timer serves all waiters: it is armed while somebody waits for a tick to come.
class interval_core : public turns {
 public:
  static constexpr duration tolerance = std::chrono::milliseconds(5);

  // The first tick is due now. Requires period > 0; the clock outlives it.
  interval_core(clock& time, duration period, missed_ticks missed) noexcept;

  // Uses a turn: the instant at which the tick stood, nothing when the interval is closed.
  std::optional<instant> take() noexcept;
  // The next tick is one period from now.
  void reset() noexcept;
  // Every wait, present and future, ends without a tick. Idempotent.
  void close() noexcept;
  bool closed() const noexcept { return closed_; }

  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter& by) noexcept override;
  wait_description describe() const noexcept override { return {"tick", "interval", this}; }

 protected:
  ~interval_core() = default;

 private:
  std::size_t available() const noexcept override { return closed_ ? unlimited : due() ? 1 : 0; }
  bool due() const noexcept { return time_.now() >= next_; }
  void move_on(instant now) noexcept;
  void look() noexcept;
  void set_alarm() noexcept;

  struct alarm final : detail::timer_callback {
    interval_core* of = nullptr;
  };

  clock& time_;
  duration period_;
  instant next_;
  missed_ticks missed_;
  bool closed_ = false;
  alarm alarm_;
  scheduler* home_ = nullptr;  // where somebody has waited
};

namespace detail {

class interval_state final : public interval_core, public counted {
 public:
  // Throws kind misuse outside a task, and for a period that is not more than 0.
  interval_state(duration period, missed_ticks missed);
  void use_here() { home_.use_here(); }
  void check_outsider() const { home_.check_outsider(); }

 private:
  home_worker home_{"interval"};
};

struct interval_tick {
  using type = interval_state;
  static turns& at(type& of) noexcept { return of; }
  static std::optional<instant> take(type& of) noexcept { return of.take(); }
};

}  // namespace detail

class interval {
 public:
  // Made in a task, the first tick due at once. Kind misuse elsewhere, and when the period is not more than 0.
  explicit interval(duration period, missed_ticks missed = missed_ticks::burst)
      : state_(new detail::interval_state(period, missed)) {}

  // Waits for the next tick. Yields std::optional<instant>, where it stood; empty when the interval is closed.
  auto tick_op() const { return turn_operation<detail::interval_tick>(state_); }
  auto tick() const { return tick_op().operator co_await(); }

  // The next tick is one period from now, for those who wait already, too.
  void reset() const {
    state_->check_outsider();
    state_->reset();
  }
  void close() const {
    state_->check_outsider();
    state_->close();
  }
  bool closed() const noexcept { return state_->closed(); }

 private:
  detail::local_ptr<detail::interval_state> state_;
};

}  // namespace perilune
