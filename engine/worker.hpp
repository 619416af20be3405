// One worker: a scheduler, its timers, its reactor and its inbox, driven by exactly one thread at a time (its own, the
// one that called runtime::run, or the host's through tick or a joined context). Owned by the runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <perilune/clock.hpp>
#include <perilune/runtime.hpp>
#include <perilune/scheduler.hpp>

#include "doorway.hpp"
#include "reactor.hpp"
#include "timer_queue.hpp"

namespace perilune::detail {

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
  reactor& io_reactor() noexcept { return reactor_; }
  doorway& door() const noexcept { return *door_; }
  const std::shared_ptr<doorway>& shared_door() const noexcept { return door_; }
  clock& time() const noexcept { return clock_; }
  std::uint64_t now_ns() const noexcept { return static_cast<std::uint64_t>(clock_.now().count()); }

  // Counts something outside the runtime that will wake a task here: I/O, a pool job, a process, a signal listener.
  // While there is any, a virtual clock does not jump and the run is not stalled.
  void external_begins(bool fellow = false) noexcept { ++external_, fellows_ += fellow; }
  void external_ends(bool fellow = false) noexcept { --external_, fellows_ -= fellow; }
  std::size_t externals() const noexcept { return external_; }
  // Those that are no fellows, see fellowship.hpp.
  std::size_t outside() const noexcept { return external_ - fellows_; }
  // Counts something that the reactor drives while no task waits for it: it is polled even when the queue never empties.
  void background_begins() noexcept { ++background_; }
  void background_ends() noexcept { --background_; }

  // Any thread, as long as the worker lives.
  bool post(std::unique_ptr<inbox_message> message) noexcept { return door_->post(std::move(message)); }
  bool post_from_signal(inbox_message& message) noexcept { return door_->post_from_signal(message); }

  // A message or a timer waits for a look.
  bool has_news() const noexcept { return !door_->empty() || (!timers_.empty() && timer_due()); }

  // The present thread drives this worker for as long as this lives. Whoever drove before has stopped.
  class driving {
   public:
    explicit driving(worker& w) noexcept;
    ~driving();
    driving(const driving&) = delete;
    driving& operator=(const driving&) = delete;

   private:
    worker& worker_;
    scheduler::entered entered_;
  };
  bool driven() const noexcept { return driven_; }

  // All of these while driving.
  void poll_io() { reactor_.poll(); }
  // Runs what is ready: one batch of at most `most` tasks. False when nothing ran and nothing was delivered.
  bool turn(unsigned most = scheduler::fair_interval);
  // Runs until `done` says so; waits when nothing is ready. `done` is asked between batches.
  void run_until(bool (*done)(void*), void* argument);
  // Lets the host's loop run once more where a joined worker has not finished; otherwise it only looks for news.
  void drive();
  // Nobody posts here any more, and what nobody has looked at is reported.
  void close() noexcept;

  // Something was made ready outside of driving: the host's loop is told.
  void kick() noexcept {
    if (!driven_) door_->tell();
  }

  // No task is left but daemons.
  bool only_daemons() noexcept;
  void cancel_all(const reason_ptr& reason) noexcept;
  void kill_all(const reason_ptr& reason) noexcept;
  // Daemons of the run end: those there are, and those that come until admit_daemons.
  void cancel_daemons() noexcept;
  void admit_daemons() noexcept { ends_daemons_ = false; }
  // A new daemon hangs below no other task.
  void daemon_spawned(task_header& task) noexcept;
  // Ends every wait that is not for a task with kind deadlock: nothing can end them.
  void break_stall();
  // Where that has ended nothing: ends the youngest wait that does not hold on, be it for a task.
  void end_youngest_wait();

  // Tasks that wait until nothing else can run, each at the instant in its waiter; see virtual_time.hpp.
  wait_queue& quiet_waiters() noexcept { return quiet_waiters_; }
  // The earliest of these instants; the end of time is timer_queue::never.
  std::optional<std::uint64_t> next_quiet() const noexcept;
  // Hands the quiet to the first that waits for it at this instant.
  void serve_quiet(std::uint64_t target) noexcept;

  // Kept by the cancellation tree: a task was cancelled and has `grace` to end.
  static void task_cancelled(task_header& task) noexcept;
  void task_ended_cancelled() noexcept;

  std::optional<std::uint64_t> next_deadline() const noexcept { return timers_.next_deadline(); }

 private:
  std::vector<task_header*> stalled_tasks();
  bool timer_due() const noexcept;
  void poll_io_now_and_then();
  void fire_due_timers();
  void fire(timer_node& timer);
  void wait_for_work();
  bool await_message();
  bool others_attend() const noexcept;
  void look_at_clock() noexcept;
  void look_at_holds();
  std::optional<std::uint64_t> next_wake() const noexcept;
  // next_wake, for waiting in real time: many timers that are due close together are served together.
  std::optional<std::uint64_t> next_rest() const noexcept;
  void sweep() noexcept;
  void sweep_in(std::uint64_t ms) noexcept;

  runtime& runtime_;
  unsigned index_;
  bool driven_ = false;
  bool ends_daemons_ = false;
  clock& clock_;
  scheduler scheduler_;
  timer_queue timers_;
  reactor reactor_;
  std::shared_ptr<doorway> door_;
  wait_queue quiet_waiters_;
  std::size_t external_ = 0;
  std::size_t fellows_ = 0;  // of these
  std::size_t background_ = 0;
  std::uint64_t polled_at_ = 0;  // how many resumes had been when the reactor was polled last
  std::uint64_t fired_at_ = 0;   // when timers were due last
  struct sweep_timer : timer_callback {
    worker* self = nullptr;
  };
  sweep_timer sweep_;
  std::uint64_t origin_ns_;
  const bool may_spin_;     // while it waits for a message of another worker
  bool spoken_to_ = false;  // a message has come since the last rest
  unsigned missed_ = 0;     // how many rests without a spin follow one in vain, and how many of them are left
  unsigned sit_out_ = 0;
};

// Calls `visit` for every task that has not settled, parents first.
void visit_tasks(scheduler& tasks, void (*visit)(task_header&, void*), void* argument);

template <class F>
void for_each_task(scheduler& tasks, F visit) {
  visit_tasks(tasks, [](task_header& task, void* f) { (*static_cast<F*>(f))(task); }, &visit);
}

}  // namespace perilune::detail
