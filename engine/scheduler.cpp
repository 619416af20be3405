// How tasks take turns and how they end. See scheduler.hpp.
#include <perilune/scheduler.hpp>

#include <atomic>

#include <perilune/select_wait.hpp>

#include "worker.hpp"

namespace perilune {

namespace {
// Ids are unique over all workers; each scheduler takes one at a time, which costs nothing beside the spawn itself.
std::atomic<std::uint64_t> last_id{0};
}  // namespace

const char* to_string(task_state state) noexcept {
  constexpr const char* names[] = {"ready", "running", "waiting", "closing", "returned", "failed", "cancelled"};
  return names[static_cast<unsigned char>(state)];
}

task_header::task_header() noexcept : top(this) {
  task = this;
  cancel_node::flags = cancel_node::is_task;
}

cancel_node& task_header::cancel_target() const noexcept {
  cancel_node* target = top;
  while (!target->has(is_task) && !(target->has(shielded) && !target->has(killed)) && target->cancel_node::parent->has(cancelled))
    target = target->cancel_node::parent;
  return *target;
}

task_header* task_header::parent_task() const noexcept {
  const cancel_node* above = cancel_node::parent;
  if (!above || above == &home->roots || above == &home->detached) return nullptr;
  return &above->owner();
}

scheduler::scheduler(detail::worker& owner) noexcept : owner_(owner) {
  roots.set(cancel_node::is_root);
  detached.set(cancel_node::is_root);
}

std::uint64_t scheduler::random() noexcept {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_ * 0x2545F4914F6CDD1DULL >> 16;
}

void scheduler::spawn(task_header& task, const spawn_options& options) noexcept {
  task.home = this;
  task.id = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
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
}

void scheduler::yield(task_header& task) noexcept {
  lane_.splice_front(fresh_);
  fair_.splice_back(lane_);
  task.become(wait_state::idle);
  task.woken_by = wake_kind::granted;
  make_ready(task);
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
  return true;
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
    else if (task.waiting() == wait_state::granted)
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
  linked_queue<waiter> woken;
  while (waiter* joiner = task.joiners.pop_front()) {
    joiner->become(wait_state::granted);
    task_header& waiting = *joiner->task;
    if (waiting.selecting) withdraw_others(*joiner);
    waiting.woken_by = wake_kind::granted;
    waiting.status = task_state::ready;
    woken.push_back(waiting);
  }
  lane_.splice_front(woken);
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

void scheduler::release_from_parent(task_header& task) noexcept {
  cancel_node& above = *task.cancel_node::parent;
  task.cancel_node::detach();
  task.attach_to(detached);
  task.mark(task_header::trait::detached);
  if (above.child_tasks == 0 && above.has(cancel_node::draining))
    if (task_header* ended = drained(above)) settle(*ended);
}

void scheduler::body_ended(task_header& task, task_state end) noexcept {
  task.end = end;
  task.status = task_state::closing;
  if (task.child_tasks == 0) {
    settle(task);
    return;
  }
  if (end != task_state::returned) {
    cancel(task, reason_ptr::make(cancel_source::parent, {}, task.id, task.name ? task.name : ""));
  } else if (task.has(cancel_node::has_daemons)) {
    auto reason = reason_ptr::make(cancel_source::parent, "daemon", task.id, task.name ? task.name : "");
    for (cancel_node* child = task.children.front(); child; child = task.children.after(*child))
      if (child->has(cancel_node::is_task) && child->owner().is(task_header::trait::daemon)) cancel(*child, reason);
  }
  task.cancel_node::set(cancel_node::draining);
}

void scheduler::settle(task_header& first) noexcept {
  for (task_header* task = &first; task;) {
    task->status = task->end;
    --live_;
    if (task->has(cancel_node::cancelled)) owner_.task_ended_cancelled();
    wake_joiners(*task);
    cancel_node& above = *task->cancel_node::parent;
    task->cancel_node::detach();
    if (above.has(cancel_node::observes)) static_cast<scope_node&>(above).child_settled(*task);
    task->on_settled();
    task = above.child_tasks == 0 && above.has(cancel_node::draining) ? drained(above) : nullptr;
  }
}

void scheduler::run(task_header& task) {
  current_ = &task;
  task.status = task_state::running;
  budget_ = operation_budget;
  ++resumes_;
  task.resume();
  current_ = nullptr;
  lane_.splice_front(fresh_);
}

bool scheduler::run_batch() {
  waiter* first = nullptr;
  if (++batches_ % oldest_batches == 0 && (first = lane_.back()) != nullptr)
    lane_.erase(*first);
  else if (!(first = fair_.pop_front()))
    first = lane_.pop_front();
  if (!first) return false;
  run(*first->task);
  for (unsigned n = 1; n < fair_interval; ++n) {
    waiter* next = lane_.pop_front();
    if (!next && !(next = fair_.pop_front())) break;
    run(*next->task);
  }
  return true;
}

}  // namespace perilune
