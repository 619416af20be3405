// Where the next tick stands, and the timer that comes with it. See interval.hpp.
#include <perilune/interval.hpp>

#include <algorithm>

#include "worker.hpp"

namespace perilune {

interval_core::interval_core(clock& time, duration period, missed_ticks missed) noexcept
    : time_(time), period_(period), next_(time.now()), missed_(missed) {
  alarm_.kind = static_cast<std::uint8_t>(timer_kind::callback);
  alarm_.of = this;
  alarm_.fire = [](detail::timer_callback& timer) noexcept { static_cast<alarm&>(timer).of->look(); };
}

// A reset since the turn was promised has already said where the next tick stands.
std::optional<instant> interval_core::take() noexcept {
  std::optional<instant> stood;
  if (!closed_) {
    const instant now = time_.now();
    stood = std::min(next_, now);
    if (now >= next_) move_on(now);
  }
  accepted();
  set_alarm();
  return stood;
}

void interval_core::move_on(instant now) noexcept {
  const bool missed = now > saturating_add(next_, tolerance);
  if (missed_ == missed_ticks::delay && missed) {
    next_ = saturating_add(now, period_);
  } else if (missed_ == missed_ticks::skip && missed && now >= saturating_add(next_, period_)) {
    const auto behind = (now - next_) / period_;
    next_ = saturating_add(next_, period_ * (behind + 1));
  } else {
    next_ = saturating_add(next_, period_);
  }
}

void interval_core::reset() noexcept {
  next_ = saturating_add(time_.now(), period_);
  look();
}

void interval_core::close() noexcept {
  closed_ = true;
  look();
}

void interval_core::arm(waiter& by) {
  home_ = by.task->home;
  turns::arm(by);
  set_alarm();
}

void interval_core::disarm(waiter& by) noexcept {
  turns::disarm(by);
  set_alarm();
}

bool interval_core::give_back(waiter& by) noexcept {
  turns::give_back(by);
  set_alarm();
  return true;
}

void interval_core::look() noexcept {
  offer();
  set_alarm();
}

// Whoever was promised a tick that is due looks again when he takes it or gives it back.
void interval_core::set_alarm() noexcept {
  if (!home_) return;
  detail::timer_queue& timers = detail::worker::of(*home_).timers();
  if (alarm_.linked()) timers.erase(alarm_);
  if (awaited() && !closed_ && !due()) timers.insert(alarm_, detail::timer_queue::deadline_of(next_));
}

namespace detail {

namespace {

clock& clock_here() {
  if (const scheduler* here = scheduler::here()) return here->owner().time();
  throw task_error({error_kind::misuse, "an interval is made in a task", 0, {}});
}

duration checked(duration period) {
  if (period > duration::zero()) return period;
  throw task_error({error_kind::misuse, "the period of an interval must be more than 0", 0, {}});
}

}  // namespace

interval_state::interval_state(duration period, missed_ticks missed)
    : interval_core(clock_here(), checked(period), missed) {}

}  // namespace detail

}  // namespace perilune
