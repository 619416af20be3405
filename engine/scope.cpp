// What a nursery does when a member ends. See scope.hpp.
#include <perilune/scope.hpp>

#include "worker.hpp"

namespace perilune {

namespace {

std::string summary(const std::vector<std::exception_ptr>& failures) {
  const std::string first = describe_exception(failures.front()).message;
  if (failures.size() == 1) return "one task of the scope failed: " + first;
  return std::to_string(failures.size()) + " tasks of the scope failed; the first: " + first;
}

}  // namespace

group_error::group_error(std::vector<std::exception_ptr> failures)
    : failures_(std::move(failures)), message_(summary(failures_)) {}

// Cut from further out, a scope throws nothing: what its members failed with is told as what nobody looks at.
scope_core::~scope_core() {
  if (body_) body_.destroy();
  if (winner_) {
    winner_->release();
    failures_.clear();
  }
  for (const std::exception_ptr& failure : failures_)
    detail::worker::here().owner().report_unobserved(*scheduler::here()->current(), describe_exception(failure));
}

void scope_core::open(std::coroutine_handle<> body, std::coroutine_handle<> from) {
  continuation = from;
  body_ = body;
  enter(*scheduler::here()->current());
}

void scope_core::close() noexcept {
  for (cancel_node* node = children.front(); node;) {
    cancel_node* const following = children.after(*node);
    if (!node->has(is_task) || !node->owner().is(task_header::trait::member)) pass_on(*node);
    node = following;
  }
}

void scope_core::cancel_others(const char* why, std::uint64_t by) noexcept {
  perilune::cancel(*this, reason_ptr::make(cancel_source::scope, why, by, "scope"));
}

void scope_core::add_failure(std::exception_ptr failure) noexcept {
  failures_.push_back(std::move(failure));
  cancel_others("a member failed", owner_task()->id);
}

void scope_core::conclude() {
  const bool nobody = policy_ == scope_policy::any && !winner_ && failures_.empty() && !has(cancelled);
  leave();
  if (nobody) throw task_error({error_kind::misuse, "a scope with the policy any has no member", 0, {}});
  if (!failures_.empty() && !winner_) throw group_error(std::move(failures_));
}

void scope_core::child_settled(task_header& child) noexcept {
  if (policy_ == scope_policy::supervise || !child.is(task_header::trait::member)) return;
  auto& member = static_cast<detail::coroutine_task&>(child);
  if (policy_ == scope_policy::any) return settle_contest(member);
  if (child.status != task_state::failed) return;
  child.mark(task_header::trait::observed);
  add_failure(member.failure());
}

// Where one has to return, a member that was cancelled on its own has failed as well.
void scope_core::settle_contest(detail::coroutine_task& member) noexcept {
  member.mark(task_header::trait::observed);
  if (winner_) return;
  if (member.status == task_state::returned) {
    winner_ = &member;
    winner_->retain();
    return cancel_others("another member won", member.id);
  }
  if (member.status == task_state::failed || !has(cancelled)) failures_.push_back(member.failure());
}

}  // namespace perilune
