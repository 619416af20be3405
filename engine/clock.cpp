// The three clocks and the arithmetic on their time; who shares them is said in clock.hpp.
#include <perilune/clock.hpp>

#include <cmath>
#include <limits>

namespace perilune {

namespace {

constexpr double nanoseconds_per_second = 1e9;

bool move_forward(std::atomic<instant::rep>& now, instant::rep at) noexcept {
  instant::rep seen = now.load(std::memory_order_relaxed);
  do {
    if (at < seen) return false;
  } while (!now.compare_exchange_weak(seen, at, std::memory_order_acq_rel, std::memory_order_relaxed));
  return true;
}

}  // namespace

instant saturating_add(instant at, duration by) noexcept {
  if (by >= duration::zero()) return at > instant::max() - by ? instant::max() : at + by;
  return at < instant::min() - by ? instant::min() : at + by;
}

duration from_seconds(double seconds) noexcept {
  constexpr auto limit = static_cast<double>(duration::max().count());
  const double count = std::round(seconds * nanoseconds_per_second);
  if (!(count > 0)) return duration::zero();
  if (count >= limit) return duration::max();
  return duration{static_cast<duration::rep>(count)};
}

double to_seconds(duration span) noexcept {
  if (span == duration::max()) return std::numeric_limits<double>::infinity();
  return static_cast<double>(span.count()) / nanoseconds_per_second;
}

clock::~clock() = default;

instant steady_clock::now() noexcept {
  return std::chrono::duration_cast<instant>(std::chrono::steady_clock::now().time_since_epoch());
}

instant manual_clock::now() noexcept { return instant{now_.load(std::memory_order_acquire)}; }

bool manual_clock::advance(duration by) noexcept {
  if (by < duration::zero()) return false;
  instant::rep seen = now_.load(std::memory_order_relaxed);
  while (!now_.compare_exchange_weak(seen, saturating_add(instant{seen}, by).count(), std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
  }
  return true;
}

bool manual_clock::set(instant at) noexcept { return move_forward(now_, at.count()); }

instant virtual_clock::now() noexcept { return instant{now_.load(std::memory_order_acquire)}; }

bool virtual_clock::jump_to(instant at) noexcept { return move_forward(now_, at.count()); }

bool virtual_clock::auto_advance() const noexcept { return auto_advance_.load(std::memory_order_acquire); }

void virtual_clock::auto_advance(bool on) noexcept { auto_advance_.store(on, std::memory_order_release); }

bool virtual_clock::pause() noexcept { return auto_advance_.exchange(false, std::memory_order_acq_rel); }

bool virtual_clock::resume() noexcept { return !auto_advance_.exchange(true, std::memory_order_acq_rel); }

}  // namespace perilune
