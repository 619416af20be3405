// Resuming, unwinding and ending C++ tasks. See coroutine_task.hpp.
#include <perilune/task.hpp>

#include <string>

#include "worker.hpp"

namespace perilune::detail {

namespace {

[[noreturn]] void misuse(std::string message) { throw task_error({error_kind::misuse, std::move(message), 0, {}}); }

}  // namespace

void coroutine_task::resume() {
  const bool usual = woken_by == wake_kind::granted && !is_any(trait::unwinding, trait::cancel_seen);
  if (!usual) [[unlikely]] {
    if (!may_go_on()) return;
  }
  leaf.resume();
  if (status == task_state::running) go_on();
}

// The leaf came back without waiting: it called another coroutine or returned to one, or the body has ended.
void coroutine_task::go_on() {
  while (!body_.done()) {
    leaf.resume();
    if (status != task_state::running) return;
  }
  const task_state how = left_value() ? task_state::returned : task_state::failed;
  destroy_frames();
  home->body_ended(*this, how);
}

// False when the task unwinds or waits again instead. What was granted and could not be taken back is accepted even if
// the task has been cancelled since; the next operation delivers that.
bool coroutine_task::may_go_on() {
  if (is(trait::unwinding) || woken_by == wake_kind::cancelled) {
    unwind();
    return false;
  }
  if (cancel_pending()) {
    const bool between = woken_by == wake_kind::granted && waiting() == wait_state::idle && !selecting;
    if (between || woken_by == wake_kind::start || woken_by == wake_kind::retry) {
      unwind();
      return false;
    }
    home->end_slice(*this);
  }
  mark(trait::started);
  return woken_by != wake_kind::retry || try_again();
}

// The operation that a spent budget had kept from being tried. False when it has to wait.
bool coroutine_task::try_again() {
  woken_by = wake_kind::granted;
  try {
    if (op->try_commit(*this)) return true;
    home->park(*this, *op);
    return false;
  } catch (...) {
    home->thrown = std::current_exception();
    woken_by = wake_kind::failed;
    return true;
  }
}

bool coroutine_task::wait_for_children_below(cancel_node& target) {
  for (cancel_node* node = top;; node = node->parent) {
    if (home->park_until_drained(*this, *node)) return true;
    if (node == &target) return false;
  }
}

void coroutine_task::unwind() {
  woken_by = wake_kind::granted;
  become(wait_state::idle);
  mark(trait::unwinding);
  selecting = nullptr;
  cancel_node& target = cancel_target();
  if (wait_for_children_below(target)) return;
  if (target.has(is_task)) {
    store_cancelled(target.reason_in_force());
    destroy_frames();
    unmark(trait::unwinding);
    home->body_ended(*this, task_state::cancelled);
    return;
  }
  auto& stop = static_cast<boundary&>(static_cast<scope_node&>(target));
  leaf = stop.continuation;
  stop.was_cut = true;
  stop.cut();
  unmark(trait::unwinding);
  if (!home->park_until_drained(*this, stop)) go_on();
}

void coroutine_task::on_settled() noexcept {
  if (end == task_state::failed && uses_ > 1 && !is(trait::observed)) home->keep_unobserved(*this);
  release();
}

void raise_wait(const operation& op) {
  scheduler& tasks = *scheduler::here();
  const wake_kind why = std::exchange(tasks.current()->woken_by, wake_kind::granted);
  if (why == wake_kind::failed) std::rethrow_exception(std::exchange(tasks.thrown, nullptr));
  throw task_error(tasks.take_deadlock(*tasks.current(), op.describe()));
}

void report_if_unobserved(coroutine_task& task, const std::exception_ptr& failure) noexcept {
  if (static_cast<waiter&>(task).linked()) task.home->forget_unobserved(task);
  if (task.is(task_header::trait::observed) || !task.home) return;
  worker::of(*task.home).owner().report_unobserved(task, describe_exception(failure));
}

void check_joinable(const task_header& target, const task_header& by) {
  if (&target == &by) misuse("task " + std::to_string(by.id) + " cannot join itself");
  if (target.home != by.home) misuse("task " + std::to_string(target.id) + " belongs to another worker");
}

void cancel_from_here(task_header& task, std::string text) {
  scheduler* tasks = scheduler::here();
  if (tasks && tasks->current()) return cancel(task, tasks->asked_by_current(std::move(text)));
  cancel(task, reason_ptr::make(cancel_source::cancel, std::move(text)));
  task.home->nudge();
}

void check_spawnable(bool has_body) {
  if (!has_body) misuse("spawn: the task has been awaited, spawned or moved away");
}

scheduler& scheduler_here() {
  if (scheduler* tasks = scheduler::here()) return *tasks;
  misuse("spawn called outside a runtime: use runtime::spawn, runtime::post or runtime::run");
}

}  // namespace perilune::detail
