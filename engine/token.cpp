// How a token's cancellation reaches what is bound to it. See token.hpp.
#include <perilune/token.hpp>

#include <perilune/scheduler.hpp>
#include <perilune/token_link.hpp>

namespace perilune {

void token_bond::bind(token_state& token, scope_node& scope) noexcept {
  token_ = &token;
  scope_ = &scope;
  token.retain();
  token.bonds_.push_back(*this);
  if (token.cancelled_) perilune::cancel(scope, token.reason_);
}

void token_bond::release() noexcept {
  if (!token_) return;
  token_state* token = std::exchange(token_, nullptr);
  token->bonds_.erase(*this);
  token->release();
}

token_state& token_state::make_child() {
  auto* child = new token_state;
  child->parent_ = this;
  retain();
  children_.push_back(*child);
  if (cancelled_) child->cancel(reason_);
  return *child;
}

void token_state::wake_all() noexcept {
  while (waiter* by = waiters_.pop_front()) by->task->home->grant(*by);
}

// Children are taken one by one from the front to a list of those done: a tree of any depth needs no native stack.
void token_state::cancel(const reason_ptr& reason) noexcept {
  if (cancelled_) return;
  for (token_state* at = this; at;) {
    if (!at->cancelled_) {
      at->cancelled_ = true;
      at->reason_ = reason;
      if (at->link_) at->link_->spread(reason ? *reason : cancel_reason{});
      at->wake_all();
      for (token_bond* bond = at->bonds_.front(); bond; bond = at->bonds_.after(*bond))
        perilune::cancel(*bond->scope_, reason);
    }
    if (token_state* below = at->children_.front()) {
      at = below;
      continue;
    }
    while (at != this && !at->parent_->children_.after(*at)) at = at->parent_;
    at = at == this ? nullptr : at->parent_->children_.after(*at);
  }
}

void token_state::link(std::shared_ptr<token_link> to, scheduler& home, bool told) {
  to->join(*this, home, told);
  link_ = std::move(to);
  if (cancelled_) link_->spread(reason_ ? *reason_ : cancel_reason{});
  catch_up();
}

void token_state::catch_up() noexcept {
  if (link_ && !cancelled_ && link_->cancelled()) cancel(link_->reason_here());
}

void token_state::release() noexcept {
  for (token_state* at = this; at && --at->uses_ == 0;) {
    token_state* parent = at->parent_;
    if (parent) parent->children_.erase(*at);
    if (at->link_) at->link_->leave(*at);
    delete at;
    at = parent;
  }
}

}  // namespace perilune
