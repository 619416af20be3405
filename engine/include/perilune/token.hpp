// Cancel tokens: a cancellation that is a value of its own, handed around freely. Cancelling one cancels its child tokens
// and every scope bound to it, and wakes who waits for it. Counted; belongs to one worker.
#pragma once

#include <cstdint>
#include <memory>

#include <perilune/cancel.hpp>
#include <perilune/operation.hpp>

namespace perilune {

class scheduler;
class token_link;
class token_state;

// A scope's bond to a token: as long as it exists, cancelling the token cancels the scope. Lives beside the scope node.
class token_bond : public list_node {
 public:
  token_bond() noexcept = default;
  token_bond(const token_bond&) = delete;
  token_bond& operator=(const token_bond&) = delete;
  ~token_bond() { release(); }
  // Binds an entered scope; cancels it at once when the token is cancelled already.
  void bind(token_state& token, scope_node& scope) noexcept;
  void release() noexcept;

 private:
  friend class token_state;
  token_state* token_ = nullptr;
  scope_node* scope_ = nullptr;
};

// The token itself, which is also the operation of waiting for its cancellation.
class token_state final : public operation, public list_node {
 public:
  token_state() noexcept = default;
  token_state(const token_state&) = delete;
  token_state& operator=(const token_state&) = delete;

  // A token cancelled with this one; born cancelled when this one is. The caller owns one use of it.
  token_state& make_child();
  // Idempotent; the first reason stays.
  void cancel(const reason_ptr& reason) noexcept;
  bool cancelled() const noexcept { return cancelled_; }
  const reason_ptr& reason() const noexcept { return reason_; }

  // Makes it the state that the worker of `home` has of a token that other workers have as well. `told`: messages reach it.
  void link(std::shared_ptr<token_link> to, scheduler& home, bool told);
  const std::shared_ptr<token_link>& linked() const noexcept { return link_; }
  // Takes over what has been cancelled elsewhere and not been told here yet.
  void catch_up() noexcept;

  // One use more, or less; the last one ends it.
  void retain() noexcept { ++uses_; }
  void release() noexcept;

  bool try_commit(waiter&) override { return cancelled_; }
  void arm(waiter& by) override { waiters_.push_back(by); }
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return {"wait", "token", this}; }

 private:
  friend class token_bond;
  ~token_state() = default;
  void wake_all() noexcept;

  wait_queue waiters_;
  linked_queue<token_bond> bonds_;
  linked_queue<token_state> children_;
  token_state* parent_ = nullptr;
  std::shared_ptr<token_link> link_;
  reason_ptr reason_;
  std::uint32_t uses_ = 1;
  bool cancelled_ = false;
};

}  // namespace perilune
