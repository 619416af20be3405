// Regions of a C++ task: a time limit, a shield, and a nursery whose children end before it does. Each runs a body that
// is a coroutine of its own; a cancellation aimed at the region destroys that body and nothing outside it.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <perilune/clock.hpp>
#include <perilune/task.hpp>
#include <perilune/timer.hpp>

namespace perilune {

namespace detail {

// Runs a body inside a scope of the awaiting task. Yields the body's outcome, `cancelled` when the region was cut.
template <class T>
class region final : public boundary {
 public:
  region(task<T> body, std::optional<instant> deadline, bool shield) noexcept
      : body_(std::move(body)), deadline_(deadline), shield_(shield) {}
  region(region&&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> from) {
    continuation = from;
    enter(*scheduler::here()->current(), shield_);
    if (deadline_) set_deadline(static_cast<std::uint64_t>(deadline_->count()));
    call(body_.get(), from, end_);
  }
  outcome<T> await_resume() {
    if (was_cut) end_.set_cancelled(reason_in_force());
    leave();
    return std::move(end_);
  }
  void cut() noexcept override { body_ = task<T>(); }

 private:
  task<T> body_;
  outcome<T> end_;
  std::optional<instant> deadline_;
  bool shield_;
};

}  // namespace detail

// Runs `body` with a deadline. Nothing when it was cut by it; the body's value wins if it has returned by then; its
// exception passes through. Tasks spawned inside end before a timeout is reported.
template <class T>
task<std::optional<typename outcome<T>::value_type>> try_timeout(duration limit, task<T> body) {
  outcome<T> end = co_await detail::region<T>(std::move(body), saturating_add(now(), limit), false);
  if (end.failed()) std::rethrow_exception(end.exception());
  if (end.cancelled()) co_return std::nullopt;
  co_return std::move(end).value();
}

// As try_timeout, with a task_error of kind timeout.
template <class T>
task<T> timeout(duration limit, task<T> body) {
  auto value = co_await try_timeout(limit, std::move(body));
  if (!value) std::rethrow_exception(std::make_exception_ptr(task_error({error_kind::timeout, "timed out", 0, {}})));
  if constexpr (!std::is_void_v<T>) co_return std::move(*value);
}

// Runs `body` unseen by cancellation from outside; it is delivered at the first suspension point after. With a limit,
// the shield's own deadline cuts the body.
template <class T>
task<std::optional<typename outcome<T>::value_type>> shield(task<T> body, std::optional<duration> limit = {}) {
  std::optional<instant> deadline;
  if (limit) deadline = saturating_add(now(), *limit);
  outcome<T> end = co_await detail::region<T>(std::move(body), deadline, true);
  if (end.failed()) std::rethrow_exception(end.exception());
  if (end.cancelled()) co_return std::nullopt;
  co_return std::move(end).value();
}

// What a child's end does: a failure ends the scope, or nothing does, or the first to return ends it.
enum class scope_policy : unsigned char { fail_fast, supervise, any };

// The failures of a scope, in order; the first is the primary one. As an error it has kind group.
class group_error : public std::exception {
 public:
  // Requires at least one failure.
  explicit group_error(std::vector<std::exception_ptr> failures);
  const char* what() const noexcept override { return message_.c_str(); }
  const std::vector<std::exception_ptr>& failures() const noexcept { return failures_; }

 private:
  std::vector<std::exception_ptr> failures_;
  std::string message_;
};

// What with_scope runs: the node that the body and the members hang below, and the policy.
class scope_core : public detail::boundary {
 public:
  // Ends every member and the body; with_scope then yields nothing.
  void cancel(std::string text = {}) noexcept {
    perilune::cancel(*this, reason_ptr::make(cancel_source::scope, std::move(text), entered() ? owner_task()->id : 0));
  }
  void child_settled(task_header& child) noexcept override;
  void cut() noexcept override { std::exchange(body_, {}).destroy(); }

  // The body begins: its frame belongs to the scope until it ends or is cut.
  void open(std::coroutine_handle<> body, std::coroutine_handle<> from);
  // The body has ended: what was spawned past the scope passes to the enclosing node, members are waited for.
  void close() noexcept;
  // The body or a member failed: kept, and the others are cancelled.
  void add_failure(std::exception_ptr failure) noexcept;
  // Ends the scope and throws the group, if there are failures and no member has won.
  void conclude();

 protected:
  explicit scope_core(scope_policy policy) noexcept : policy_(policy) { set(observes); }
  ~scope_core();

  template <class T>
  task_handle<T> spawn_member(task<T> body) {
    task_handle<T> handle = detail::make_task(std::move(body));
    scheduler::here()->spawn(handle.header(), {.below = this, .member = true});
    return handle;
  }
  // Under `any`, the member that returned first.
  detail::coroutine_task* winner() const noexcept { return winner_; }

 private:
  void settle_contest(detail::coroutine_task& member) noexcept;
  void cancel_others(const char* why, std::uint64_t by) noexcept;

  scope_policy policy_;
  std::coroutine_handle<> body_;
  std::vector<std::exception_ptr> failures_;
  detail::coroutine_task* winner_ = nullptr;
};

// What the body of with_scope uses to spawn. Valid until with_scope is over.
class scope final : public scope_core {
 public:
  explicit scope(scope_policy policy) noexcept : scope_core(policy) {}

  // Queues a member. Requires that the scope is still open.
  template <class T>
  task_handle<T> spawn(task<T> body) {
    return spawn_member(std::move(body));
  }
  // What is yielded once all have ended.
  template <class T>
  std::optional<typename outcome<T>::value_type> take_result(outcome<T> body) noexcept {
    if (body.cancelled()) return std::nullopt;
    return std::move(body).value();
  }
};

// The same for with_any: every member yields a T.
template <class T>
class any_scope final : public scope_core {
 public:
  explicit any_scope(scope_policy policy) noexcept : scope_core(policy) {}

  // A child, one that may win.
  task_handle<T> spawn(task<T> body) { return spawn_member(std::move(body)); }
  std::optional<typename outcome<T>::value_type> take_result(const outcome<void>&) noexcept {
    if (!winner()) return std::nullopt;
    return std::move(static_cast<detail::typed_task<T>&>(*winner()).end_value).value();
  }
};

namespace detail {

// Runs the body of a scope inside its node, and leaves the node entered.
template <class T>
class scope_body {
 public:
  scope_body(scope_core& s, task<T> body) noexcept : scope_(s), body_(std::move(body)) {}
  scope_body(const scope_body&) = delete;
  scope_body& operator=(const scope_body&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> from) {
    auto frame = body_.release();
    scope_.open(frame, from);
    call(frame, from, end_);
  }
  outcome<T> await_resume() {
    if (scope_.was_cut)
      end_.set_cancelled(scope_.reason_in_force());
    else
      scope_.cut();
    return std::move(end_);
  }

 private:
  scope_core& scope_;
  task<T> body_;
  outcome<T> end_;
};

// Waits until a node has no child tasks; not interruptible, since cancellation reaches the children themselves.
class drain_awaiter {
 public:
  explicit drain_awaiter(cancel_node& node) noexcept : node_(node) {}
  bool await_ready() const noexcept { return node_.child_tasks == 0; }
  void await_suspend(std::coroutine_handle<> from) const noexcept {
    coroutine_task& self = coroutine_task::running();
    self.leaf = from;
    self.home->park_until_drained(self, node_);
  }
  void await_resume() const noexcept {}

 private:
  cancel_node& node_;
};

// Where a cancellation that arrived meanwhile is delivered; otherwise goes on at once.
class cancel_point {
 public:
  bool await_ready() const noexcept { return !scheduler::here()->current()->cancel_pending(); }
  void await_suspend(std::coroutine_handle<> from) const noexcept { yield_awaiter().await_suspend(from); }
  void await_resume() const noexcept {}
};

// Runs the body of a scope S inside it, until its last member has ended.
template <class S, class Result, class F>
task<std::optional<Result>> run_scope(scope_policy policy, F body) {
  using T = typename std::invoke_result_t<F&, S&>::result_type;
  S s(policy);
  outcome<T> end = co_await scope_body<T>(s, body(s));
  if (end.failed()) s.add_failure(end.exception());
  s.close();
  co_await drain_awaiter(s);
  s.conclude();
  co_await cancel_point();
  co_return s.take_result(std::move(end));
}

}  // namespace detail

// Runs `body(scope&)`, a task<T>, and waits for every member. Under fail_fast the first failure cancels the body and the
// other members; then a group_error with all failures is thrown. Under supervise a member's failure stays its own. Under
// any the first member that returns cancels the body and the others; when none has, a group_error with all failures, or
// kind misuse where there was no member. A failure of the body cancels the members and is part of the group. Yields
// nothing when the scope was cancelled before its body returned; a cancellation from further out that came while it waited
// for members passes on.
template <class F, class T = typename std::invoke_result_t<F&, scope&>::result_type>
task<std::optional<typename outcome<T>::value_type>> with_scope(scope_policy policy, F body) {
  return detail::run_scope<scope, typename outcome<T>::value_type>(policy, std::move(body));
}

// Runs `body(any_scope<T>&)`, a task<>, under the policy any, and yields what the first member to return has returned, taken
// out of its outcome. Nothing when the scope was cancelled before.
template <class T, class F>
task<std::optional<typename outcome<T>::value_type>> with_any(F body) {
  return detail::run_scope<any_scope<T>, typename outcome<T>::value_type>(scope_policy::any, std::move(body));
}

}  // namespace perilune
