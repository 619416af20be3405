// The cancellation tree: every task and every scope inside a task is a node, and cancelling a node reaches all below it.
//
// A task's own nodes form a stack (its root node, then the scopes it is inside of); tasks spawned inside a scope hang
// below that scope's node. A set of tasks hangs beside the stack, where it was made, and holds its members together.
// Cancellation is level-triggered: a node stays cancelled, and every suspension point of a task whose innermost node is
// cancelled delivers it. A shield stops what comes from outside. Nodes are embedded in their task or scope and touched by
// one worker only; reasons are shared and counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <perilune/linked_queue.hpp>
#include <perilune/timer_node.hpp>

namespace perilune {

class task_header;
class scope_node;

// What asked for a cancellation.
enum class cancel_source : unsigned char { cancel, timeout, scope, signal, shutdown, parent, grace, watchdog, limit };

// "cancel", "timeout", ... as scripts see it. Static storage.
const char* to_string(cancel_source source) noexcept;

// Why something was cancelled and who asked. Immutable after creation; counted without atomics, so it stays on its worker.
class cancel_reason {
 public:
  cancel_source source = cancel_source::cancel;
  std::string text;
  std::uint64_t by_task = 0;  // id of the asking task, 0 for none
  std::string by_name;        // what asked: a task's name, "timeout", "SIGINT"

 private:
  friend class reason_ptr;
  std::uint32_t uses_ = 0;
};

// A counted reference to a reason, or none. Not for several threads at once.
class reason_ptr {
 public:
  reason_ptr() noexcept = default;
  // One use more of it, or of none for nullptr.
  explicit reason_ptr(cancel_reason* reason) noexcept : reason_(reason) { retain(); }
  reason_ptr(const reason_ptr& other) noexcept : reason_(other.reason_) { retain(); }
  reason_ptr(reason_ptr&& other) noexcept : reason_(std::exchange(other.reason_, nullptr)) {}
  reason_ptr& operator=(reason_ptr other) noexcept {
    std::swap(reason_, other.reason_);
    return *this;
  }
  ~reason_ptr() {
    if (reason_ && --reason_->uses_ == 0) drop(reason_);
  }

  // A new reason.
  static reason_ptr make(cancel_source source, std::string text = {}, std::uint64_t by_task = 0,
                         std::string by_name = {});

  // nullptr for none; the others require one.
  const cancel_reason* get() const noexcept { return reason_; }
  const cancel_reason* operator->() const noexcept { return reason_; }
  const cancel_reason& operator*() const noexcept { return *reason_; }
  explicit operator bool() const noexcept { return reason_ != nullptr; }

 private:
  // Not inlined: g++ 12 takes a reason that stands in a coroutine frame for a part of that frame.
  static void drop(cancel_reason* last) noexcept;
  void retain() noexcept {
    if (reason_) ++reason_->uses_;
  }
  cancel_reason* reason_ = nullptr;
};

// One node of the tree: a task's own, or a scope's. Embedded in it, and touched by its worker only.
struct cancel_node : list_node {
  // What is known of a node; several at once.
  enum flag : std::uint32_t {
    is_task = 1,       // the root node of a task; otherwise a scope_node
    requested = 2,     // cancellation was asked for at this very node
    cancelled = 4,     // it or, unshielded, something above it was
    shielded = 8,      // cancellation from above stops here
    killed = 16,       // shields no longer hold
    has_daemons = 32,  // some child is cancelled, not waited for, when the body returns
    draining = 64,     // the owner waits here for the last child
    observes = 128,    // a scope_node that wants child_settled() and child_left()
    is_root = 256,     // without a task: a worker's own node, or one that a host hangs below it to hold tasks together
    is_set = 512,      // a scope_node beside its owner's stack: while it has child tasks it counts above as one
  };

  // The node above, nullptr for a root.
  cancel_node* parent = nullptr;
  linked_queue<cancel_node> children;  // tasks and scopes below, in order of creation
  reason_ptr reason;                   // why, where `requested`
  std::uint32_t flags = 0;
  std::uint32_t child_tasks = 0;  // children that are tasks, or sets with tasks in them

  // Read and set marks.
  bool has(flag f) const noexcept { return (flags & f) != 0; }
  void set(flag f) noexcept { flags |= f; }

  // Hangs the node and all below it under `above`. What is in force there reaches them at once, tasks that wait included.
  void attach_to(cancel_node& above) noexcept;
  // Takes the node out of its place. Nobody who waits for the last child is told: see scheduler::release_from_parent.
  void detach() noexcept;
  // Sets `cancelled` or `killed` here, and delivers the first cancellation to the task whose innermost node this is.
  void receive(std::uint32_t marks) noexcept;
  // Counts a child task that has come or gone, here and above a set whose first or last it is.
  void add_child_task() noexcept {
    for (cancel_node* node = this; node->child_tasks++ == 0 && node->has(is_set); node = node->parent) {
    }
  }
  void drop_child_task() noexcept {
    for (cancel_node* node = this; --node->child_tasks == 0 && node->has(is_set); node = node->parent) {
    }
  }
  bool counts() const noexcept { return has(is_task) || (has(is_set) && child_tasks > 0); }

  // The task whose node this is.
  task_header& owner() const noexcept;
  // The earliest deadline that cancels this node, nanoseconds of the worker's clock.
  std::optional<std::uint64_t> deadline_in_force() const noexcept;
  // Carries out the deadlines in force here that have passed, for a task that keeps its worker from looking at them.
  void expire_overdue(std::uint64_t now_ns) noexcept;
  // The reason in force here: that of the nearest node at or above that was asked. Owned by that node.
  const reason_ptr& reason_in_force() const noexcept;
};

// Asks for cancellation of a node and all below it. Idempotent; the first reason stays. Runs no user code.
void cancel(cancel_node& node, reason_ptr reason) noexcept;
// As cancel, and shields below no longer hold.
void kill(cancel_node& node, reason_ptr reason) noexcept;

// A scope inside a task: the region between enter() and leave(). Owned by the frame or closable that opened it.
class scope_node : public cancel_node {
 public:
  scope_node() noexcept = default;
  scope_node(const scope_node&) = delete;
  scope_node& operator=(const scope_node&) = delete;

  // Makes this the innermost node of the running task.
  void enter(task_header& task, bool shield = false) noexcept;
  // Hangs the node, a set, below the innermost node of the running task, and leaves that the innermost.
  void hang_below(task_header& task) noexcept;
  // Removes the node; children still alive pass to the enclosing node. Safe to call twice.
  void leave() noexcept;
  // Hangs a child of this node under the enclosing one: it outlives the scope.
  void pass_on(cancel_node& child) noexcept;
  bool entered() const noexcept { return owner_ != nullptr; }
  task_header* owner_task() const noexcept { return owner_; }

  // Cancels the scope at the given instant of the worker's clock, naming it a timeout.
  void set_deadline(std::uint64_t deadline_ns) noexcept;
  void clear_deadline() noexcept;
  // The deadline in force, nanoseconds of the worker's clock.
  std::optional<std::uint64_t> deadline() const noexcept {
    return deadline_.linked() ? std::optional(deadline_.deadline) : std::nullopt;
  }
  bool timed_out() const noexcept { return timed_out_; }

  // The timer of a scope's deadline, and whose it is.
  struct deadline_timer : timer_node {
    scope_node* scope = nullptr;
  };
  // The deadline has passed. Called by the worker.
  virtual void expire() noexcept;

  // Called when a child task has settled, before anything else runs. Must not run user code.
  virtual void child_settled(task_header&) noexcept {}
  // Called when a child task has left the tree below without having settled. Must not run user code.
  virtual void child_left(task_header&) noexcept {}

 protected:
  ~scope_node();

 private:
  task_header* owner_ = nullptr;
  deadline_timer deadline_;
  bool timed_out_ = false;
};

}  // namespace perilune
