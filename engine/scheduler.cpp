// How tasks take turns and how they end. See scheduler.hpp.
#include <perilune/scheduler.hpp>

#include <algorithm>
#include <new>
#include <utility>

#include <perilune/coroutine_task.hpp>
#include <perilune/observer.hpp>
#include <perilune/select_wait.hpp>

#include "waits_for.hpp"
#include "worker.hpp"

namespace perilune {

const char* to_string(task_state state) noexcept {
  constexpr const char* names[] = {"ready", "running", "waiting", "closing", "returned", "failed", "cancelled"};
  return names[static_cast<unsigned char>(state)];
}

std::string label_of(const task_header& task) {
  std::string text = "task " + std::to_string(task.id);
  if (task.name) text += std::string(" (") + task.name + ")";
  return text;
}

task_header::task_header() noexcept : top(this) {
  task = this;
  cancel_node::flags = cancel_node::is_task;
}

cancel_node& task_header::cancel_target() const noexcept {
  cancel_node* target = top;
  while (!target->has(is_task) && !(target->has(shielded) && !target->has(killed)) &&
         target->cancel_node::parent->has(cancelled))
    target = target->cancel_node::parent;
  return *target;
}

task_header* task_header::parent_task() const noexcept {
  const cancel_node* above = cancel_node::parent;
  if (!above || above->has(is_root)) return nullptr;
  return &above->owner();
}

bool task_header::in_background() const noexcept {
  for (const task_header* at = this; at; at = at->parent_task())
    if (at->is(trait::daemon)) return true;
  return false;
}

scheduler::scheduler(detail::worker& owner, unsigned workers) noexcept
    : next_id_(owner.index() + 1), id_step_(workers), owner_(owner) {
  roots.set(cancel_node::is_root);
  detached.set(cancel_node::is_root);
}

void scheduler::spawn(task_header& task, const spawn_options& options) noexcept {
  task.home = this;
  task.id = next_id_;
  next_id_ += id_step_;
  task.spawned_ms = now_ms_;
  cancel_node* above = options.below ? options.below : current_ ? current_->top : &roots;
  if (options.detached) {
    above = &detached;
    task.mark(task_header::trait::detached);
  }
  if (options.member) task.mark(task_header::trait::member);
  task.attach_to(*above);
  if (options.daemon) {
    task.mark(task_header::trait::daemon);
    above->set(cancel_node::has_daemons);
  }
  ++live_;
  task.status = task_state::ready;
  if (current_)
    fresh_.push_back(task);
  else
    fair_.push_back(task);
  if (observer_) [[unlikely]]
    observer_->spawned(task);
  if (options.daemon && above->has(cancel_node::is_root)) owner_.daemon_spawned(task);
}

reason_ptr scheduler::asked_by_current(std::string text) {
  const bool plain = text.empty();
  if (plain && plain_reason_ && plain_reason_->by_task == current_->id) return plain_reason_;
  auto reason =
      reason_ptr::make(cancel_source::cancel, std::move(text), current_->id, current_->name ? current_->name : "");
  if (plain) plain_reason_ = reason;
  return reason;
}

void scheduler::level_lanes() noexcept {
  fair_.splice_front(fresh_);
  fair_.splice_back(lane_);
}

void scheduler::park_select(task_header& task, select_wait& wait) noexcept {
  task.selecting = &wait;
  task.status = task_state::waiting;
  task.stamp = now_ms_;
}

bool scheduler::park_until_drained(task_header& task, cancel_node& node) noexcept {
  if (node.child_tasks == 0) return false;
  node.set(cancel_node::draining);
  task.op = nullptr;
  task.mark(task_header::trait::uninterruptible);
  task.status = task_state::waiting;
  task.stamp = now_ms_;
  break_cycle(task);
  return true;
}

// The task has begun to wait for its children. That wait cannot fail; where it closes a cycle, another wait of the cycle does.
void scheduler::break_cycle(task_header& task) noexcept {
  try {
    const detail::wait_cycle cycle = detail::cycle_through(task);
    for (auto at = cycle.rbegin(); at != cycle.rend(); ++at) {
      task_header& each = **at;
      if (each.status != task_state::waiting || each.is(task_header::trait::uninterruptible)) continue;
      deadlocks_.push_back({&each, "deadlock: " + detail::describe_cycle(cycle)});
      return interrupt(each, wake_kind::deadlock);
    }
  } catch (const std::bad_alloc&) {
    // The wait goes on; the run stalls in the end, and says so.
  }
}

error scheduler::take_deadlock(const task_header& task, const wait_description& wait) {
  std::string text = std::string("deadlock: nothing can end the wait in ") + wait.verb + " on a " + wait.resource;
  const auto is_its = [&](const deadlock_note& note) { return note.task == &task; };
  if (const auto note = std::find_if(deadlocks_.begin(), deadlocks_.end(), is_its); note != deadlocks_.end()) {
    text = std::move(note->text);
    deadlocks_.erase(note);
  }
  return {error_kind::deadlock, std::move(text), 0, {}};
}

void scheduler::withdraw_others(waiter& winner) noexcept { winner.task->selecting->commit(winner); }

void scheduler::interrupt(task_header& task, wake_kind why) noexcept {
  if (task.is(task_header::trait::uninterruptible)) return;
  if (task.status == task_state::waiting) {
    if (task.selecting)
      task.selecting->withdraw();
    else if (task.op->holds(task))
      return;
    else
      task.op->disarm(task);
    task.become(wait_state::idle);
    task.woken_by = why;
    make_ready(task);
  } else if (task.status == task_state::ready && task.woken_by == wake_kind::granted) {
    bool taken_back = false;
    if (task.selecting)
      taken_back = task.selecting->give_back();
    else if (task.waiting() == wait_state::granted && task.op)
      taken_back = task.op->give_back(task);
    if (!taken_back) return;
    task.become(wait_state::idle);
    task.woken_by = why;
  }
}

void scheduler::hand_over(task_header& task) noexcept {
  task.become(wait_state::granted);
  task.woken_by = wake_kind::granted;
  task.status = task_state::ready;
}

void scheduler::wake_joiners(task_header& task) noexcept {
  while (waiter* joiner = task.joiners.back()) {
    task.joiners.erase(*joiner);
    joiner->become(wait_state::granted);
    task_header& waiting = *joiner->task;
    if (waiting.selecting) [[unlikely]]
      withdraw_others(*joiner);
    waiting.woken_by = wake_kind::granted;
    waiting.status = task_state::ready;
    lane_.push_front(waiting);
  }
}

// A child task of `above` has gone: ends the wait for the last one, there or above a set. Returns the task to settle next.
task_header* scheduler::child_gone(cancel_node& above) noexcept {
  for (cancel_node* node = &above; node->child_tasks == 0; node = node->parent) {
    if (node->has(cancel_node::draining)) return drained(*node);
    if (!node->has(cancel_node::is_set)) break;
  }
  return nullptr;
}

// The last child below `node` has ended. Returns the task to settle next, if the node was that of an ended body.
task_header* scheduler::drained(cancel_node& node) noexcept {
  node.flags &= ~static_cast<std::uint32_t>(cancel_node::draining);
  task_header& owner = node.owner();
  if (owner.status == task_state::closing) return &owner;
  owner.unmark(task_header::trait::uninterruptible);
  hand_over(owner);
  lane_.push_front(owner);
  return nullptr;
}

void scheduler::release_from_parent(task_header& task, cancel_node* to) noexcept {
  cancel_node& above = *task.cancel_node::parent;
  task.cancel_node::detach();
  task.unmark(task_header::trait::member);
  task.mark(task_header::trait::detached);
  task.attach_to(to ? *to : detached);
  if (above.has(cancel_node::observes)) static_cast<scope_node&>(above).child_left(task);
  if (task_header* ended = child_gone(above)) settle(*ended);
}

void scheduler::body_ended(task_header& task, task_state end) noexcept {
  task.end = end;
  task.status = task_state::closing;
  if (task.locks) [[unlikely]]
    holds.release_locks_of(task);
  if (task.top != &task) [[unlikely]]
    leave_scopes(task);
  if (task.child_tasks == 0) [[likely]]
    return settle(task);
  if (end != task_state::returned) {
    cancel(task, reason_ptr::make(cancel_source::parent, {}, task.id, task.name ? task.name : ""));
  } else if (task.has(cancel_node::has_daemons)) {
    auto reason = reason_ptr::make(cancel_source::parent, "daemon", task.id, task.name ? task.name : "");
    cancel_daemons(task, reason);
  }
  task.cancel_node::set(cancel_node::draining);
  task.stamp = now_ms_;
  break_cycle(task);
}

// What was left open when a coroutine was abandoned inside of it: nobody else will end what hangs below.
void scheduler::leave_scopes(task_header& task) noexcept {
  while (task.top != &task) {
    auto& open = static_cast<scope_node&>(*task.top);
    cancel(open, reason_ptr::make(cancel_source::scope, "its coroutine was abandoned", task.id, "scope"));
    open.leave();
  }
}

void scheduler::cancel_daemons(cancel_node& above, const reason_ptr& reason) noexcept {
  for (cancel_node* child = above.children.front(); child; child = above.children.after(*child))
    if (child->has(cancel_node::is_task) && child->owner().is(task_header::trait::daemon)) cancel(*child, reason);
}

// Sets that were left open are empty now; nothing can be spawned into them any more.
void scheduler::leave_sets(task_header& task) noexcept {
  for (cancel_node* node = task.children.front(); node;) {
    cancel_node* const following = task.children.after(*node);
    if (node->has(cancel_node::is_set)) static_cast<scope_node*>(node)->leave();
    node = following;
  }
}

// The block of a settled task may go at once, and what its outcome holds may look for the running task: there is none.
void scheduler::settle(task_header& first) noexcept {
  if (current_ == &first) current_ = nullptr;
  for (task_header* task = &first; task;) {
    task->status = task->end;
    --live_;
    if (observer_) [[unlikely]]
      observer_->ended(*task);
    if (task->has(cancel_node::cancelled)) owner_.task_ended_cancelled();
    if (!task->children.empty()) [[unlikely]]
      leave_sets(*task);
    wake_joiners(*task);
    cancel_node& above = *task->cancel_node::parent;
    task->cancel_node::detach();
    if (above.has(cancel_node::observes)) static_cast<scope_node&>(above).child_settled(*task);
    task->on_settled();
    task = child_gone(above);
  }
}

// What a task does may end the observation.
template <bool Observed>
inline void scheduler::run(task_header& task) {
  if constexpr (Observed)
    if (observer_) observer_->resumed(task);
  current_ = &task;
  task.status = task_state::running;
  budget_ = operation_budget;
  task.resume();
  lane_.splice_front(fresh_);
  if constexpr (Observed)
    if (observer_ && current_ == &task) observer_->suspended(task);
}

// The fair lane comes first in a batch, so that it is served however busy the hand-over lane is; now and then it is the
// oldest of the hand-over lane.
task_header* scheduler::first_of_batch() noexcept {
  if (++batches_ % oldest_batches == 0) {
    if (waiter* oldest = lane_.back()) {
      lane_.erase(*oldest);
      return oldest->task;
    }
  }
  if (task_header* next = fair_.pop_front()) return next;
  waiter* next = lane_.pop_front();
  return next ? next->task : nullptr;
}

unsigned scheduler::run_batch(unsigned most) {
  const bool in_rounds = shuffled_ || !round_.empty() || !yielded_.empty();
  const unsigned count = in_rounds   ? run_shuffled(most)
                         : observer_ ? run_in_turn<true>(most)
                                     : run_in_turn<false>(most);
  current_ = nullptr;
  resumes_ += count;
  return count;
}

template <bool Observed>
unsigned scheduler::run_in_turn(unsigned most) {
  first_yielded_ = nullptr;
  batch_limit_ = most;
  unsigned count = 0;
  for (task_header* next = first_of_batch(); next;) {
    run<Observed>(*next);
    if (++count >= batch_limit_) break;
    if (waiter* handed_over = lane_.pop_front()) {
      next = static_cast<task_header*>(handed_over);
      continue;
    }
    next = fair_.front();
    if (!next || (next == first_yielded_ && owner_.has_news())) break;
    fair_.pop_front();
  }
  return count;
}

unsigned scheduler::run_shuffled(unsigned most) {
  first_yielded_ = nullptr;
  unsigned count = 0;
  for (; count < most; ++count) {
    task_header* next = next_of_round();
    if (!next) break;
    observer_ ? run<true>(*next) : run<false>(*next);
  }
  return count;
}

void scheduler::keep_unobserved(detail::coroutine_task& task) noexcept { unobserved_.push_back(task); }

void scheduler::forget_unobserved(detail::coroutine_task& task) noexcept { unobserved_.erase(task); }

void scheduler::report_unobserved() noexcept {
  while (waiter* next = unobserved_.pop_front()) {
    auto& task = static_cast<detail::coroutine_task&>(*next->task);
    if (!task.is(task_header::trait::observed))
      owner_.owner().report_unobserved(task, describe_exception(task.failure()));
    task.home = nullptr;
  }
}

void scheduler::nudge() noexcept { owner_.kick(); }

}  // namespace perilune
