// Where a runtime's time comes from: the machine (steady), the host (manual), or the program itself (virtual).
// Owned by whoever makes the runtime and outlives it; its workers share it. Every member may be called from any thread.
// No clock goes back. No clock wakes anybody: a worker compares its timers with the clock when it looks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace perilune {

// A span of time, in nanoseconds.
using duration = std::chrono::nanoseconds;

// A point of time as the distance from its clock's own zero. instant::max() is the deadline that never comes.
using instant = std::chrono::nanoseconds;

// `at + by`, held at instant::max() and instant::min() instead of overflowing.
[[nodiscard]] instant saturating_add(instant at, duration by) noexcept;

// The nearest nanosecond. Negative seconds give zero; infinity and all that exceeds 292 years give duration::max().
// NaN is the caller's to refuse; it gives zero.
[[nodiscard]] duration from_seconds(double seconds) noexcept;

// duration::max() gives infinity: the inverse of from_seconds.
[[nodiscard]] double to_seconds(duration span) noexcept;

class clock {
 public:
  // What moves it: the machine, the host, or the runtime that has nothing to run.
  enum class mode : std::uint8_t { steady, manual, virtual_ };

  clock() = default;
  clock(const clock&) = delete;
  clock& operator=(const clock&) = delete;
  virtual ~clock();

  // The time, never less than before. Any thread.
  [[nodiscard]] virtual instant now() noexcept = 0;
  [[nodiscard]] virtual mode kind() const noexcept = 0;
};

// The machine's CLOCK_MONOTONIC. Its zero is unspecified, usually the boot; changes of the wall clock do not reach it.
class steady_clock final : public clock {
 public:
  [[nodiscard]] instant now() noexcept override;
  [[nodiscard]] mode kind() const noexcept override { return mode::steady; }
};

// Time that moves only when the host says so.
class manual_clock final : public clock {
 public:
  explicit manual_clock(instant start = instant::zero()) noexcept : now_(start.count()) {}

  [[nodiscard]] instant now() noexcept override;
  [[nodiscard]] mode kind() const noexcept override { return mode::manual; }

  // Moves by `by`, at most to instant::max(). False, and nothing moves, when `by` is negative.
  bool advance(duration by) noexcept;

  // Moves to `at`. False, and nothing moves, when `at` has passed.
  bool set(instant at) noexcept;

 private:
  std::atomic<instant::rep> now_;
};

// Time that starts at zero and jumps: when nothing can run and no outside work is pending, the runtime moves it to the
// next deadline. With auto_advance off it stands still until a task advances it (virtual_time.hpp) or somebody else calls
// jump_to.
class virtual_clock final : public clock {
 public:
  [[nodiscard]] instant now() noexcept override;
  [[nodiscard]] mode kind() const noexcept override { return mode::virtual_; }

  // Moves to `at`. False, and nothing moves, when `at` has passed.
  bool jump_to(instant at) noexcept;

  // Whether it jumps to the next deadline when nothing can run.
  [[nodiscard]] bool auto_advance() const noexcept;
  void auto_advance(bool on) noexcept;
  // auto_advance off, and on again, where doing it twice is a mistake: false then.
  bool pause() noexcept;
  bool resume() noexcept;

 private:
  std::atomic<instant::rep> now_{0};
  std::atomic<bool> auto_advance_{true};
};

}  // namespace perilune
