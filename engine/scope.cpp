// What a nursery does when a member ends. See scope.hpp.
#include <perilune/scope.hpp>

namespace perilune {

void scope::add_failure(std::exception_ptr failure) noexcept {
  failures_.push_back(std::move(failure));
  cancel("a member failed");
}

void scope::child_settled(task_header& child) noexcept {
  if (policy_ != scope_policy::fail_fast || !child.is(task_header::trait::member)) return;
  if (child.status != task_state::failed) return;
  child.mark(task_header::trait::observed);
  add_failure(static_cast<detail::coroutine_task&>(child).failure());
}

}  // namespace perilune
