// The one control block of every task, whether its body is a C++ coroutine or a Lua thread.
//
// It is a waiter (its place in one wait queue or one run queue), a node of the cancellation tree (its root node) and an
// operation (waiting for its end). The runtime owns it from spawn until its outcome settles; after that only handles
// do. Only the task's worker touches it. resume() is the single virtual call on the path of a switch.
#pragma once

#include <cstdint>
#include <string>

#include <perilune/cancel.hpp>
#include <perilune/operation.hpp>

namespace perilune {

class scheduler;
class select_wait;

// Where a task is in its life. The last three are final.
enum class task_state : unsigned char { ready, running, waiting, closing, returned, failed, cancelled };

// "ready", "running", ... as scripts see it. Static storage.
const char* to_string(task_state state) noexcept;
// "task 12 (parser)".
std::string label_of(const task_header& task);

// What a task finds when it resumes.
enum class wake_kind : unsigned char {
  granted,    // what it waited for; or it only yielded
  start,      // nothing: it runs for the first time
  cancelled,  // the wait ended without a grant
  deadlock,   // the same, since nothing can ever grant it
  retry,      // the budget was spent before the operation was tried: it is tried now
  failed,     // the operation threw when it was tried so; scheduler::thrown has the exception
};

class task_header : public operation, public waiter, public cancel_node {
 public:
  // What is known of a task; several at once.
  enum class trait : std::uint16_t {
    started = 1,
    daemon = 2,           // cancelled when the parent's body ends
    detached = 4,         // not below the task that spawned it
    uninterruptible = 8,  // the present wait ends only by its grant
    member = 16,          // belongs to the policy of the scope it was spawned into
    observed = 32,        // somebody looked at the outcome
    foreign_wake = 64,    // waits for something outside the runtime
    unwinding = 128,
    cancel_seen = 256,  // cancellation has reached the innermost node
  };

  task_header() noexcept;
  task_header(const task_header&) = delete;
  task_header& operator=(const task_header&) = delete;

  // Runs the body until it suspends or ends. Called by the scheduler only.
  virtual void resume() = 0;
  // The outcome is final: drop the runtime's hold. May free the task.
  virtual void on_settled() noexcept = 0;
  // The place in the script or program where the task stands, "file:line", or "" when unknown. Not async-signal safe.
  virtual std::string where() const { return {}; }
  // Where it was spawned, likewise.
  virtual std::string spawned_at() const { return {}; }

  // Read and set what is known. Thread of the task's worker.
  bool is(trait t) const noexcept { return (traits & static_cast<std::uint16_t>(t)) != 0; }
  bool is_any(trait a, trait b) const noexcept {
    return (traits & (static_cast<std::uint16_t>(a) | static_cast<std::uint16_t>(b))) != 0;
  }
  void mark(trait t) noexcept { traits = static_cast<std::uint16_t>(traits | static_cast<std::uint16_t>(t)); }
  void unmark(trait t) noexcept { traits = static_cast<std::uint16_t>(traits & ~static_cast<std::uint16_t>(t)); }

  // Cancellation has reached the innermost node: the next suspension point delivers it.
  bool cancel_pending() const noexcept { return is(trait::cancel_seen); }
  // As `status`, but a cancelled task that has not ended is shown as closing.
  task_state shown_state() const noexcept {
    const bool unwinds = has(cancelled) && is(trait::started) && status != task_state::closing && !settled();
    return unwinds ? task_state::closing : status;
  }
  bool settled() const noexcept { return status >= task_state::returned; }
  // The node at which a delivered cancellation stops: the outermost cancelled one inside the nearest shield.
  cancel_node& cancel_target() const noexcept;
  // The parent task, or nullptr for roots and detached tasks.
  task_header* parent_task() const noexcept;
  // Whether it is a daemon, or stands below one: nobody waits for its end.
  bool in_background() const noexcept;

  // The operation of waiting for this task's outcome.
  bool try_commit(waiter&) override { return settled(); }
  void arm(waiter& by) override {
    if (status >= task_state::waiting) detail::refuse_cycle(by, *this);
    joiners.push_back(by);
  }
  void disarm(waiter& by) noexcept override { joiners.erase(by); }
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"join", "task", this}; }
  const task_header* held_by() const noexcept override { return this; }

  // What a switch does not touch comes first, so that the rest shares a cache line.
  wait_queue joiners;                // in the order in which they began to wait
  std::uint64_t id = 0;              // unique within the runtime, never reused
  const char* name = nullptr;        // owned by the derived task
  std::uint32_t spawned_ms = 0;      // the clock at spawn, milliseconds since the runtime began
  std::uint32_t cancelled_ms = 0;    // the clock when cancellation reached the root node
  scheduler* home = nullptr;         // the scheduler of its worker
  cancel_node* top;                  // innermost node
  select_wait* selecting = nullptr;  // the select this task waits in, if any
  task_state status = task_state::ready;
  wake_kind woken_by = wake_kind::granted;
  std::uint16_t traits = 0;
  task_state end = task_state::returned;  // how the body ended, valid from `closing` on
  std::uint16_t locks = 0;                // held now; what is left when the body ends is released then

 protected:
  ~task_header() = default;
};

}  // namespace perilune
