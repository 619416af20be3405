// What a nursery does when a member ends. See scope.hpp.
#include <perilune/scope.hpp>

namespace perilune {

void scope::open(std::coroutine_handle<> body, std::coroutine_handle<> from) {
  continuation = from;
  body_ = body;
  enter(*scheduler::here()->current());
}

void scope::close() noexcept {
  for (cancel_node* node = children.front(); node;) {
    cancel_node* const following = children.after(*node);
    if (!node->has(is_task) || !node->owner().is(task_header::trait::member)) pass_on(*node);
    node = following;
  }
}

void scope::add_failure(std::exception_ptr failure) noexcept {
  failures_.push_back(std::move(failure));
  perilune::cancel(*this, reason_ptr::make(cancel_source::scope, "a member failed", owner_task()->id));
}

void scope::conclude() {
  leave();
  if (!failures_.empty()) throw group_error(std::move(failures_));
}

void scope::child_settled(task_header& child) noexcept {
  if (policy_ != scope_policy::fail_fast || !child.is(task_header::trait::member)) return;
  if (child.status != task_state::failed) return;
  child.mark(task_header::trait::observed);
  add_failure(static_cast<detail::coroutine_task&>(child).failure());
}

}  // namespace perilune
