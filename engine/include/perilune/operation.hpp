// The one concept for waiting. A waiter is one place in one wait queue; an operation says how to get what is waited for.
//
// Every task carries one waiter in its header, used for waiting on a single operation; select() adds one per arm. The
// same links queue a task that waits and a task that is ready, since it is never both. Waiters belong to the task that
// waits; operations belong to the awaiting frame or to the resource. Touched by the task's worker only.
#pragma once

#include <string>

#include <perilune/linked_queue.hpp>
#include <perilune/timer_node.hpp>

namespace perilune {

class operation;
class task_header;

// Where a wait is.
enum class wait_state : unsigned char {
  idle,     // not waiting
  armed,    // queued at the operation
  granted,  // committed; the task is on its way to resume
};

// What a timer does when it is due.
enum class timer_kind : unsigned char { waiter, deadline, callback };

// Who waits for an operation: queued there and, with a deadline, among the timers. Lives in the task or its frame, and
// is touched by its worker only.
struct waiter : timer_node {
  // What it waits for, and the task to wake.
  operation* op = nullptr;
  task_header* task = nullptr;

  // Where the wait is.
  wait_state waiting() const noexcept { return static_cast<wait_state>(state); }
  void become(wait_state next_state) noexcept { state = static_cast<unsigned char>(next_state); }
};

// Who waits for one thing, first come, first served.
using wait_queue = linked_queue<waiter>;

// What a diagnostic says about a wait.
struct wait_description {
  const char* verb;      // "recv", "join", "sleep"; static storage
  const char* resource;  // "channel", "task"; static storage
  const void* object;    // identity of the resource, for the waits-for graph
};

// An operation commits exactly once or has no effect at all.
//   try_commit  commits now if that needs no waiting; the result goes where the waiter's task will look for it
//   arm         queues the waiter; called only after try_commit said no, with nothing in between
//   disarm      withdraws an armed waiter without a trace
//   give_back   takes back a grant whose task was cancelled before it resumed; false where it cannot be taken back
//   holds       true where a single wait goes on although its task was cancelled or killed: what runs cannot be withdrawn
//   held_by     the one task whose progress alone can grant this, where there is one: the owner of a lock, a joined task.
//               Such an operation calls detail::refuse_cycle first in arm, and so never completes a cycle of waits
//   held_at     where that task took it, "file:line", where that is known
class operation {
 public:
  virtual bool try_commit(waiter& by) = 0;
  virtual void arm(waiter& by) = 0;
  virtual void disarm(waiter& by) noexcept = 0;
  virtual bool give_back(waiter& by) noexcept = 0;
  virtual bool holds(waiter&) noexcept { return false; }
  virtual const task_header* held_by() const noexcept { return nullptr; }
  virtual std::string held_at() const { return {}; }
  virtual wait_description describe() const noexcept = 0;

 protected:
  operation() noexcept = default;
  operation(const operation&) noexcept = default;
  operation& operator=(const operation&) noexcept = default;
  ~operation() = default;
};

namespace detail {

// Throws kind deadlock when the task of `by`, waiting for `wanted` alone, would wait for itself. See waits_for.hpp.
void refuse_cycle(const waiter& by, const operation& wanted);

}  // namespace detail

}  // namespace perilune
