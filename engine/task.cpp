// Resuming, unwinding and ending C++ tasks. See task.hpp.
#include <perilune/task.hpp>

#include "worker.hpp"

namespace perilune::detail {

void coroutine_task::resume() {
  mark(trait::started);
  if (is(trait::unwinding) || woken_by == wake_kind::cancelled) return unwind();
  switch (waiting()) {
    case wait_state::granted:
      break;
    case wait_state::retry:
      if (cancel_pending()) return unwind();
      if (!op->try_commit(*this)) return home->park(*this, *op);
      break;
    default:
      if (!selecting && woken_by == wake_kind::granted && cancel_pending()) return unwind();
  }
  become(wait_state::idle);
  go_on();
}

void coroutine_task::go_on() {
  leaf.resume();
  if (!body_.done()) return;
  const task_state how = store_end() ? task_state::returned : task_state::failed;
  destroy_frames();
  home->body_ended(*this, how);
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
  cancel_node& target = cancel_target();
  if (wait_for_children_below(target)) return;
  unmark(trait::unwinding);
  selecting = nullptr;
  if (target.has(is_task)) {
    store_cancelled(target.reason_in_force());
    destroy_frames();
    home->body_ended(*this, task_state::cancelled);
    return;
  }
  auto& stop = static_cast<boundary&>(static_cast<scope_node&>(target));
  leaf = stop.continuation;
  stop.was_cut = true;
  stop.cut();
  if (!home->park_until_drained(*this, stop)) go_on();
}

void coroutine_task::on_settled() noexcept { release(); }

void raise_deadlock(const operation& op) {
  scheduler::here()->current()->woken_by = wake_kind::granted;
  const wait_description wait = op.describe();
  throw task_error({error_kind::deadlock,
                    std::string("deadlock: nothing can end the wait in ") + wait.verb + " on a " + wait.resource, 0, {}});
}

void report_if_unobserved(const task_header& task, std::exception_ptr failure) noexcept {
  worker::of(*task.home).owner().report_unobserved(task, describe_exception(std::move(failure)));
}

}  // namespace perilune::detail
