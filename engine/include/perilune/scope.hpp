// Regions of a C++ task: a time limit, a shield, and a nursery whose children end before it does. Each runs a body that
// is a coroutine of its own; a cancellation aimed at the region destroys that body and nothing outside it.
#pragma once

#include <coroutine>
#include <optional>
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

enum class scope_policy : unsigned char { fail_fast, supervise };

// The failures of a scope, in order; the first is the primary one.
class group_error : public std::exception {
 public:
  explicit group_error(std::vector<std::exception_ptr> failures) : failures_(std::move(failures)) {}
  const char* what() const noexcept override { return "one or more tasks of a scope failed"; }
  const std::vector<std::exception_ptr>& failures() const noexcept { return failures_; }

 private:
  std::vector<std::exception_ptr> failures_;
};

// What the body of with_scope uses to spawn. Valid until with_scope is over.
class scope final : public detail::boundary {
 public:
  explicit scope(scope_policy policy) noexcept : policy_(policy) { set(observes); }
  ~scope() {
    if (body_) body_.destroy();
  }

  // Queues a member. Requires that the scope is still open.
  template <class T>
  task_handle<T> spawn(perilune::task<T> body) {
    task_handle<T> handle = detail::make_task(std::move(body));
    scheduler::here()->spawn(handle.header(), {.below = this, .member = true});
    return handle;
  }
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
  // The body or a member failed: kept, and the others are cancelled where the policy says so.
  void add_failure(std::exception_ptr failure) noexcept;
  // Ends the scope and throws the group, if there are failures.
  void conclude();

 private:
  scope_policy policy_;
  std::coroutine_handle<> body_;
  std::vector<std::exception_ptr> failures_;
};

namespace detail {

// Runs the body of a scope inside its node, and leaves the node entered.
template <class T>
class scope_body {
 public:
  scope_body(scope& s, task<T> body) noexcept : scope_(s), body_(std::move(body)) {}
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
  scope& scope_;
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

}  // namespace detail

// Runs `body(scope&)`, a task<T>, and waits for every member. Under fail_fast the first failure cancels the body and the
// other members; then a group_error with all failures is thrown. Under supervise a member's failure stays its own. A
// failure of the body cancels the members and is part of the group. Yields nothing when the scope was cancelled before
// its body returned; a cancellation from further out that came while it waited for members passes on.
template <class F, class T = typename std::invoke_result_t<F&, scope&>::result_type>
task<std::optional<typename outcome<T>::value_type>> with_scope(scope_policy policy, F body) {
  scope s(policy);
  outcome<T> end = co_await detail::scope_body<T>(s, body(s));
  if (end.failed()) s.add_failure(end.exception());
  s.close();
  co_await detail::drain_awaiter(s);
  s.conclude();
  co_await detail::cancel_point();
  if (end.cancelled()) co_return std::nullopt;
  co_return std::move(end).value();
}

}  // namespace perilune
