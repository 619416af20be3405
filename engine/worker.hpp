// One worker: a scheduler, its timers, its reactor and its inbox, driven by exactly one thread at a time (its own, the
// one that called runtime::run, or the host's through tick or a joined context). Owned by the runtime.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <perilune/clock.hpp>
#include <perilune/runtime.hpp>
#include <perilune/scheduler.hpp>

#include "inbox.hpp"
#include "timer_queue.hpp"

namespace perilune::detail {

class reactor;

// A timer that calls a function on the worker's thread.
struct timer_callback : timer_node {
  void (*fire)(timer_callback&) noexcept = nullptr;
};

class worker {
 public:
  worker(runtime& owner, unsigned index, const runtime_options& options);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  static worker& of(scheduler& s) noexcept { return s.owner(); }
  // The worker that runs on this thread. Requires that there is one.
  static worker& here() noexcept { return scheduler::here()->owner(); }

  runtime& owner() const noexcept { return runtime_; }
  unsigned index() const noexcept { return index_; }
  scheduler& tasks() noexcept { return scheduler_; }
  timer_queue& timers() noexcept { return timers_; }
  reactor& io_reactor() noexcept { return *reactor_; }
  clock& time() const noexcept { return clock_; }
  std::uint64_t now_ns() const noexcept { return static_cast<std::uint64_t>(clock_.now().count()); }

  // Counts something outside the runtime that will wake a task here: I/O, a pool job, a process, a signal listener.
  // While there is any, a virtual clock does not jump and the run is not stalled.
  void external_begins() noexcept { ++external_; }
  void external_ends() noexcept { --external_; }
  std::size_t externals() const noexcept { return external_; }
  // Counts something that the reactor drives while no task waits for it: it is polled even when the queue never empties.
  void background_begins() noexcept { ++background_; }
  void background_ends() noexcept { --background_; }

  // Any thread.
  bool post(std::unique_ptr<inbox_message> message) noexcept;
  // As post, for signal handlers; the message stays the caller's. Requires that the reactor's bell is open.
  bool post_from_signal(inbox_message& message) noexcept;

  // A message or a timer waits for a look.
  bool has_news() const noexcept { return !inbox_.empty() || (!timers_.empty() && timer_due()); }

  void poll_io();
  // Runs what is ready, up to `batches` batches. True when something ran or was delivered.
  bool turn(unsigned batches);
  // Runs until `done` says so; waits when nothing is ready. `done` is asked between batches.
  void run_until(bool (*done)(void*), void* argument);
  // Joined mode: makes sure the host's loop drives this worker.
  void kick() noexcept;
  void drive();

  // Kept by the cancellation tree: a task was cancelled and has `grace` to end.
  static void task_cancelled(task_header& task) noexcept;
  void task_ended_cancelled() noexcept;

  std::optional<std::uint64_t> next_deadline() const noexcept { return timers_.next_deadline(); }

 private:
  bool timer_due() const noexcept;
  void poll_io_now_and_then();
  void fire_due_timers();
  bool advance_virtual_clock();
  void wait_for_work();
  void break_stall();
  void sweep() noexcept;
  void arm_sweep() noexcept;

  runtime& runtime_;
  unsigned index_;
  clock& clock_;
  scheduler scheduler_;
  timer_queue timers_;
  inbox inbox_;
  std::unique_ptr<reactor> reactor_;
  std::size_t external_ = 0;
  std::size_t background_ = 0;
  std::uint64_t polled_at_ = 0;  // how many resumes had been when the reactor was polled last
  std::atomic<bool> asleep_{false};
  bool kicked_ = false;
  struct sweep_timer : timer_callback {
    worker* self = nullptr;
  };
  sweep_timer sweep_;
  std::uint64_t origin_ns_;
};

// Calls `visit` for every task that has not settled, parents first.
void visit_tasks(scheduler& tasks, void (*visit)(task_header&, void*), void* argument);

}  // namespace perilune::detail
