// How a token's cancellation goes down its tree. See shared_token.hpp.
#include <perilune/shared_token.hpp>

#include <vector>

#include <perilune/scheduler.hpp>

namespace perilune {

namespace detail {

// A chain of parents that only this one keeps goes link by link: a tree of any depth needs no native stack.
shared_token_core::~shared_token_core() {
  if (!parent_) return;
  {
    const std::lock_guard lock(parent_->mutex_);
    parent_->children_.erase(*this);
  }
  for (auto last = std::move(parent_); last && last.use_count() == 1;) {
    auto above = last->parent_;
    last.reset();
    last = std::move(above);
  }
}

std::shared_ptr<shared_token_core> shared_token_core::make_child(const std::shared_ptr<shared_token_core>& of) {
  auto child = std::make_shared<shared_token_core>(of);
  {
    const std::lock_guard lock(of->mutex_);
    of->children_.push_back(*child);
  }
  if (of->scopes->cancelled()) child->cancel(*of->scopes->reason_here());
  return child;
}

// A child that comes while this goes on finds its parent cancelled.
void shared_token_core::cancel(const cancel_reason& why) {
  std::vector<std::shared_ptr<shared_token_core>> left{shared_from_this()};
  while (!left.empty()) {
    const std::shared_ptr<shared_token_core> at = std::move(left.back());
    left.pop_back();
    if (at->scopes->cancelled()) continue;
    at->scopes->spread(why);
    at->over->happen();
    const std::lock_guard lock(at->mutex_);
    for (shared_token_core* child = at->children_.front(); child; child = at->children_.after(*child))
      if (auto alive = child->weak_from_this().lock()) left.push_back(std::move(alive));
  }
}

shared_token_bond::shared_token_bond(token_link& to) {
  token_state& state = to.at(*scheduler::here(), true);
  bond_.bind(state, static_cast<scope_node&>(*scheduler::here()->current()->top));
  state.release();
}

}  // namespace detail

void shared_token::cancel(std::string reason) const {
  const scheduler* const here = scheduler::here();
  const task_header* const by = here ? here->current() : nullptr;
  const char* name = by && by->name ? by->name : "";
  core_->cancel(*reason_ptr::make(cancel_source::cancel, std::move(reason), by ? by->id : 0, name));
}

std::string shared_token::reason() const {
  return cancelled() ? core_->scopes->reason_here()->text : std::string();
}

}  // namespace perilune
