// Finding tasks that overstay their slice, at no cost to those that do not.
//
// A VM's worker notes the beginning and the end of each stay in Lua: a turn. The watchdog is a thread of the host's that
// looks at these notes once a slice. When it sees the same turn again and the worker's thread has spent a slice of CPU time
// meanwhile, it sends that thread a signal, whose handler arms a hook on the Lua thread that runs; the hook does the rest
// (protect_preempt.cpp). While no VM runs anything the watchdog sleeps.
//
// A turn_watch belongs to its VM; all of it is the worker's but what is atomic. The watchdog outlives the VMs it watches.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/types.h>

#include <perilune/limits.hpp>

namespace perilune {

class vm;
class watchdog;

// The C function that ran when a signal came, copied in the handler.
struct running_c_function {
  char name[48] = "";
  char place[96] = "";
};

class turn_watch {
 public:
  // It is struck when a turn has lasted so many slices.
  turn_watch(vm& owner, watchdog& dog, int slices) noexcept : owner_(owner), dog_(dog), slices_(slices) {}
  turn_watch(const turn_watch&) = delete;
  turn_watch& operator=(const turn_watch&) = delete;
  ~turn_watch();

  void begin() noexcept {
    if (here_ != this) [[unlikely]]
      come_here();
    turn_.store(turn_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (alarm_->load(std::memory_order_relaxed)) [[unlikely]]
      wake();
  }
  // True when the turn was longer than the hold limit, and nobody has told so yet.
  bool end() noexcept {
    turn_.store(turn_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return held_ns_.load(std::memory_order_relaxed) != 0;
  }

  // CPU time of the present turn as far as the watchdog has seen.
  duration spent() const noexcept {
    const bool this_turn = struck_turn_.load(std::memory_order_relaxed) == turn_.load(std::memory_order_relaxed);
    return duration(this_turn ? spent_ns_.load(std::memory_order_relaxed) : 0);
  }
  duration hold() const noexcept;

  // How long the turn was that end() told of; asked once.
  duration take_held() noexcept { return duration(held_ns_.exchange(0, std::memory_order_relaxed)); }
  running_c_function c_function;

 private:
  friend class watchdog;
  void come_here() noexcept;
  void wake() noexcept;
  // In the signal handler, on the worker's thread.
  void strike() noexcept;
  static void on_signal(int number, siginfo_t* info, void* context) noexcept;

  static constinit thread_local turn_watch* here_;

  std::atomic<std::uint64_t> turn_{0};         // odd while a task runs
  std::atomic<pid_t> thread_{0};               // the worker's, as the system numbers it
  std::atomic<std::uint64_t> struck_turn_{0};  // the turn that `spent_ns_` is about
  std::atomic<std::int64_t> spent_ns_{0};
  std::atomic<std::int64_t> arming_ns_{0};    // what the last strike took
  std::atomic<std::int64_t> held_ns_{0};      // of a turn that has become longer than the hold limit
  const std::atomic<bool>* alarm_ = nullptr;  // the watchdog sleeps and wants to be told
  vm& owner_;
  watchdog& dog_;
  const int slices_;

  // The watchdog's own notes.
  std::uint64_t seen_turn_ = 0;
  std::int64_t cpu_at_ = 0;
  std::int64_t seen_at_ = 0;
  std::uint32_t strikes_ = 0;
};

class watchdog {
 public:
  // Requires mode slice. Installs the signal's handler.
  explicit watchdog(const preemption& rules);
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog();

  const preemption& rules() const noexcept { return rules_; }

 private:
  friend class turn_watch;
  void add(turn_watch& each);
  void remove(turn_watch& each) noexcept;
  void wake() noexcept;
  void patrol();
  bool look_at(turn_watch& each) const noexcept;

  preemption rules_;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::vector<turn_watch*> watched_;
  std::atomic<bool> asleep_{false};
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace perilune
