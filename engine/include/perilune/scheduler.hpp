// One worker's run queues and the rules by which its tasks take turns. One scheduler per worker; only the worker's
// thread touches it.
//
// Two lanes. The fair lane is FIFO: wakes, yields, timers, I/O. The hand-over lane is depth first: when a task suspends,
// the children it has just spawned run next, in spawn order, and a joiner runs right after the task it waited for. The
// fair lane is served at least once in `fair_interval` resumes, the oldest of the hand-over lane at least once in
// `oldest_interval`, so that nobody starves. A task never runs inside spawn, and no user code runs inside a primitive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <perilune/error.hpp>
#include <perilune/holding.hpp>
#include <perilune/run_queue.hpp>
#include <perilune/task_header.hpp>

namespace perilune {

class observer;

namespace detail {
class coroutine_task;
class worker;
}  // namespace detail

// How a task is spawned.
struct spawn_options {
  cancel_node* below = nullptr;  // default: the innermost node of the running task
  bool daemon = false;
  bool detached = false;
  bool member = false;
};

class scheduler {
 public:
  // A run of so many resumes between two looks at timers and the system.
  static constexpr unsigned fair_interval = 61;
  static constexpr unsigned oldest_batches = 16;  // batches of fair_interval: the oldest hand-over task runs each 976
  static constexpr std::int32_t operation_budget = 128;  // operations a task may complete before it yields

  scheduler(detail::worker& owner, unsigned workers) noexcept;
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  // The scheduler whose worker runs on this thread, or nullptr.
  static scheduler* here() noexcept { return here_; }
  task_header* current() const noexcept { return current_; }
  detail::worker& owner() const noexcept { return owner_; }

  // Queues a new task. It does not run before the caller suspends.
  void spawn(task_header& task, const spawn_options& options) noexcept;

  // Takes one unit of the running task's budget. False when the task must yield before it tries an operation: the budget
  // is spent, or a cancellation waits to be delivered.
  bool spend() noexcept { return --budget_ >= 0; }
  // The running task yields at its next operation. No effect on a task that does not run.
  void end_slice(const task_header& task) noexcept {
    if (&task == current_) budget_ = 0;
  }

  // The reason of a cancellation that the running task asks for. A task that cancels many without a text shares one between them.
  reason_ptr asked_by_current(std::string text);

  // Makes a task runnable behind all that are ready.
  void make_ready(task_header& task) noexcept {
    task.status = task_state::ready;
    fair_.push_back(task);
  }
  // Hands a committed operation to its waiter, already removed from its wait queue.
  [[gnu::always_inline]] void grant(waiter& by) noexcept {
    by.become(wait_state::granted);
    task_header& task = *by.task;
    if (task.selecting) [[unlikely]]
      withdraw_others(by);
    task.woken_by = wake_kind::granted;
    make_ready(task);
  }
  // Parks the running task on one operation. If arming throws, the task has not been parked.
  void park(task_header& task, operation& op) {
    task.op = &op;
    task.become(wait_state::armed);
    op.arm(task);
    task.status = task_state::waiting;
    task.stamp = now_ms_;
  }
  // Marks the running task as waiting in a select whose arms are armed.
  void park_select(task_header& task, select_wait& wait) noexcept;
  // Queues the running task behind everything that is ready now, its own new children first.
  void yield(task_header& task) noexcept {
    if (!fresh_.empty() || !lane_.empty()) level_lanes();
    if (shuffled_) [[unlikely]]
      return yield_behind_round(task);
    if (!first_yielded_) first_yielded_ = &task;
    task.become(wait_state::idle);
    task.woken_by = wake_kind::granted;
    make_ready(task);
  }
  // As yield, for a task that has overstayed: timers and I/O get a look before anything else runs.
  void preempt(task_header& task) noexcept {
    yield(task);
    batch_limit_ = 0;
    look_around_ = true;
  }
  // Whether a task has overstayed since the last time this was asked.
  bool take_look_around() noexcept { return std::exchange(look_around_, false); }
  // Budget spent before `op` was tried: yields, and the task tries `op` when it resumes.
  void yield_then_try(task_header& task, operation& op) noexcept {
    task.op = &op;
    yield(task);
    task.woken_by = wake_kind::retry;
  }
  // Parks the running task until `node` has no child tasks. False when there are none now.
  bool park_until_drained(task_header& task, cancel_node& node) noexcept;

  // Moves a task that has not settled out of its parent's subtree, below `to`; by default to where detached tasks live.
  void release_from_parent(task_header& task, cancel_node* to = nullptr) noexcept;

  // The body of the running task has ended in this way; settles now or when the last child has.
  void body_ended(task_header& task, task_state end) noexcept;

  // A cancellation has become visible at the task's innermost node.
  void deliver_cancel(task_header& task) noexcept {
    end_slice(task);
    interrupt(task, wake_kind::cancelled);
  }
  // Ends the task's wait without a grant. No effect unless it waits and may be interrupted.
  void interrupt(task_header& task, wake_kind why) noexcept;

  // What the task's wait, which ended with wake_kind::deadlock, has to say.
  error take_deadlock(const task_header& task, const wait_description& wait);

  // Failed tasks that only handles hold: reported when the last handle goes away or the runtime ends.
  void keep_unobserved(detail::coroutine_task& task) noexcept;
  void forget_unobserved(detail::coroutine_task& task) noexcept;
  void report_unobserved() noexcept;

  // Runs up to `most` tasks; fewer when nothing more is ready, or when the round has come back to a task that yielded and
  // the worker has timers or messages to look at. Returns how many ran.
  unsigned run_batch(unsigned most = fair_interval);
  bool idle() const noexcept {
    return fair_.empty() && lane_.empty() && fresh_.empty() && round_.empty() && yielded_.empty();
  }
  // Something was made ready by a thread that does not run this scheduler at the moment: its host is told.
  void nudge() noexcept;

  // How things stand, in tasks and resumes.
  std::uint64_t live_tasks() const noexcept { return live_; }
  std::uint64_t cancelling_tasks() const noexcept { return cancelling_; }
  std::uint64_t resumes() const noexcept { return resumes_; }
  // Milliseconds on the worker's clock, as of the last look at it.
  std::uint32_t now_ms() const noexcept { return now_ms_; }
  void set_now_ms(std::uint32_t ms) noexcept { now_ms_ = ms; }
  // The next number of the worker's sequence, which the seed determines.
  std::uint64_t random() noexcept;
  // Uniform among 0 ... count - 1. Requires 0 < count < 2^32.
  std::size_t random_below(std::size_t count) noexcept {
    return static_cast<std::size_t>((random() & 0xFFFFFFFF) * count >> 32);
  }
  void seed(std::uint64_t value) noexcept;
  // Who is told what tasks do, or nullptr; it outlives the scheduler.
  void observe(observer* who) noexcept { observer_ = who; }
  // Ready tasks run in rounds, each in an order drawn at random, and who yields runs behind all that were ready then.
  void shuffle(bool on) noexcept { shuffled_ = on; }

  // What an operation threw when it was tried again for a task that is just being resumed; see wake_kind::failed.
  std::exception_ptr thrown;

  // What is held on this worker, and by whom.
  hold_register holds;

  // Roots of the tree: what the host started, and what left its parent.
  cancel_node roots;
  cancel_node detached;

  // Makes this scheduler the one of the calling thread for its lifetime.
  class entered {
   public:
    explicit entered(scheduler& s) noexcept : previous_(here_) { here_ = &s; }
    ~entered() { here_ = previous_; }
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;

   private:
    scheduler* previous_;
  };

 private:
  friend class detail::worker;
  template <bool Observed>
  void run(task_header& task);
  template <bool Observed>
  unsigned run_in_turn(unsigned most);
  unsigned run_shuffled(unsigned most);
  task_header* next_of_round();
  void deal();
  void yield_behind_round(task_header& task) noexcept;
  void level_lanes() noexcept;
  void break_cycle(task_header& task) noexcept;
  void settle(task_header& task) noexcept;
  static void leave_scopes(task_header& task) noexcept;
  static void leave_sets(task_header& task) noexcept;
  void withdraw_others(waiter& winner) noexcept;
  void hand_over(task_header& task) noexcept;
  void wake_joiners(task_header& task) noexcept;
  task_header* child_gone(cancel_node& above) noexcept;
  task_header* drained(cancel_node& node) noexcept;
  static void cancel_daemons(cancel_node& above, const reason_ptr& reason) noexcept;
  task_header* first_of_batch() noexcept;

  static inline constinit thread_local scheduler* here_ = nullptr;

  task_header* current_ = nullptr;
  std::int32_t budget_ = operation_budget;
  std::uint32_t now_ms_ = 0;
  run_queue fair_;
  linked_queue<waiter> lane_;
  linked_queue<waiter> fresh_;  // children of the running task, not yet in a lane
  linked_queue<waiter> unobserved_;
  struct deadlock_note {
    const task_header* task;
    std::string text;
  };
  std::vector<deadlock_note> deadlocks_;        // of waits that were ended and have not said so yet
  const task_header* first_yielded_ = nullptr;  // of this batch
  std::uint64_t resumes_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t cancelling_ = 0;
  std::uint64_t next_id_;
  std::uint64_t id_step_;    // the number of workers, so that ids are unique among them
  reason_ptr plain_reason_;  // the newest without a text
  std::uint64_t random_ = 0x9E3779B97F4A7C15ULL;
  std::uint32_t batches_ = 0;
  unsigned batch_limit_ = 0;  // of the batch that runs
  bool look_around_ = false;
  bool shuffled_ = false;
  run_queue round_;    // of a shuffled run: what is left of the present round
  run_queue yielded_;  // and who has yielded in it
  std::vector<task_header*> dealt_;
  observer* observer_ = nullptr;
  detail::worker& owner_;
};

// Grants for a caller that is no task of the worker: the host between ticks, who is told that somebody can run.
struct for_outsiders {
  void grant(waiter& by) const noexcept {
    by.task->home->grant(by);
    by.task->home->nudge();
  }
};

}  // namespace perilune
