// A mutex for what takes less time than to sleep and be woken: who finds it taken looks again a few times before he sleeps.
// He does so at intervals in which its holder can do several things, as long as he must: what is guarded then stays in the
// holder's cache. Any thread.
#pragma once

#include <atomic>

namespace perilune::detail {

// Tells the processor that this thread waits for another one without sleeping.
inline void spin_once() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Asks for cache lines that another processor may have, from `at` on, so that they come at once instead of one by one.
inline void expect_lines([[maybe_unused]] const void* at, [[maybe_unused]] int count) noexcept {
  for (int i = 0; i < count; ++i) __builtin_prefetch(static_cast<const char*>(at) + 64 * i, 1);
}

class brief_mutex {
 public:
  void lock() noexcept {
    if (!take()) [[unlikely]]
      wait_for_it();
  }
  void unlock() noexcept {
    if (state_.exchange(open, std::memory_order_release) == wanted) [[unlikely]]
      state_.notify_one();
  }

 private:
  static constexpr int open = 0;
  static constexpr int taken = 1;
  static constexpr int wanted = 2;  // taken, and somebody sleeps
  static constexpr int looks = 12;
  static constexpr int spins_per_look = 48;  // one or two microseconds

  bool take() noexcept {
    int expected = open;
    return state_.compare_exchange_strong(expected, taken, std::memory_order_acquire, std::memory_order_relaxed);
  }
  [[gnu::noinline]] void wait_for_it() noexcept {
    for (int left = looks; left > 0; --left) {
      for (int i = 0; i < spins_per_look; ++i) spin_once();
      if (state_.load(std::memory_order_relaxed) == open && take()) return;
    }
    while (state_.exchange(wanted, std::memory_order_acquire) != open) state_.wait(wanted, std::memory_order_relaxed);
  }

  std::atomic<int> state_{open};
};

}  // namespace perilune::detail
