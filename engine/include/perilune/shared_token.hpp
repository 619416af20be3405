// shared_token: a cancellation that is a value of its own, between tasks of all workers and threads that run none. A handle
// is copied and used on any thread.
//
// Cancelling one cancels its children, wakes who waits for it, and ends every scope bound to it: who asks sees it at once,
// tasks are reached by messages to their workers.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <perilune/scope.hpp>
#include <perilune/shared_event.hpp>
#include <perilune/token.hpp>
#include <perilune/token_link.hpp>

namespace perilune {

namespace detail {

// What the handles of one token have in common. A child keeps its parent, which knows its children without keeping them.
class shared_token_core final : public list_node, public std::enable_shared_from_this<shared_token_core> {
 public:
  explicit shared_token_core(std::shared_ptr<shared_token_core> parent) : parent_(std::move(parent)) {}
  shared_token_core(const shared_token_core&) = delete;
  shared_token_core& operator=(const shared_token_core&) = delete;
  ~shared_token_core();

  static std::shared_ptr<shared_token_core> make_child(const std::shared_ptr<shared_token_core>& of);
  void cancel(const cancel_reason& why);

  const std::shared_ptr<shared_event> over = std::make_shared<shared_event>();
  const std::shared_ptr<token_link> scopes = std::make_shared<token_link>();

 private:
  std::shared_ptr<shared_token_core> parent_;
  std::mutex mutex_;  // guards children_
  linked_queue<shared_token_core> children_;
};

// Binds the innermost scope of the running task to a token, on its worker.
class shared_token_bond {
 public:
  explicit shared_token_bond(token_link& to);
  shared_token_bond(const shared_token_bond&) = delete;
  shared_token_bond& operator=(const shared_token_bond&) = delete;

 private:
  token_bond bond_;
};

}  // namespace detail

// Waits until a token is cancelled.
class token_wait_operation final : public event_wait {
 public:
  // Made by wait_op.
  explicit token_wait_operation(std::shared_ptr<detail::shared_token_core> of)
      : event_wait(of->over, {"wait", "token", of.get()}), of_(std::move(of)) {}
  token_wait_operation(token_wait_operation&&) noexcept = default;
  ~token_wait_operation() = default;
  unit take_result() const noexcept { return {}; }

 private:
  std::shared_ptr<detail::shared_token_core> of_;
};

class shared_token {
 public:
  // A token that nobody has cancelled.
  shared_token() : core_(std::make_shared<detail::shared_token_core>(nullptr)) {}

  // Idempotent; the first reason stays.
  void cancel(std::string reason = {}) const;
  bool cancelled() const noexcept { return core_->scopes->cancelled(); }
  // Why, "" while it is not cancelled.
  std::string reason() const;
  // A token that is cancelled with this one, and may be cancelled alone; born cancelled when this one is.
  shared_token child() const { return shared_token(detail::shared_token_core::make_child(core_)); }

  // Waits until it is cancelled. Yields unit. In a task of any worker.
  auto wait() const { return detail::awaiter<token_wait_operation>(std::in_place, core_); }
  token_wait_operation wait_op() const { return token_wait_operation(core_); }

 private:
  template <class T>
  friend task<std::optional<typename outcome<T>::value_type>> with_token(shared_token token, task<T> body);
  explicit shared_token(std::shared_ptr<detail::shared_token_core> core) noexcept : core_(std::move(core)) {}

  std::shared_ptr<detail::shared_token_core> core_;
};

namespace detail {

template <class T>
task<T> run_bound(std::shared_ptr<token_link> to, task<T> body) {
  const shared_token_bond bond(*to);
  co_return co_await std::move(body);
}

}  // namespace detail

// Runs `body` as a scope that is cancelled with the token, of whatever worker. Nothing when it was; the body's value wins if it
// has returned by then; its exception passes through. Where the token is cancelled already the body does not begin.
template <class T>
task<std::optional<typename outcome<T>::value_type>> with_token(shared_token token, task<T> body) {
  if (token.cancelled()) co_return std::nullopt;
  task<T> bound = detail::run_bound(token.core_->scopes, std::move(body));
  outcome<T> end = co_await detail::region<T>(std::move(bound), std::nullopt, false);
  if (end.failed()) std::rethrow_exception(end.exception());
  if (end.cancelled()) co_return std::nullopt;
  co_return std::move(end).value();
}

}  // namespace perilune
