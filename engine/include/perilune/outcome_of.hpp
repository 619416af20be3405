// outcome_of(body): runs a coroutine inside the awaiting task, like co_await, and yields how it has ended instead of passing an
// exception through. A cancellation of the task is no end of the coroutine: it unwinds both.
#pragma once

#include <coroutine>
#include <utility>

#include <perilune/task.hpp>

namespace perilune {

namespace detail {

template <class T>
class outcome_awaiter {
 public:
  explicit outcome_awaiter(task<T> body) noexcept : body_(std::move(body)) {}
  outcome_awaiter(const outcome_awaiter&) = delete;
  outcome_awaiter& operator=(const outcome_awaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> from) noexcept { call(body_.get(), from, end_); }
  outcome<T> await_resume() noexcept { return std::move(end_); }

 private:
  task<T> body_;
  outcome<T> end_;
};

}  // namespace detail

// outcome<int> end = co_await outcome_of(child());
template <class T>
detail::outcome_awaiter<T> outcome_of(task<T> body) noexcept {
  return detail::outcome_awaiter<T>(std::move(body));
}

}  // namespace perilune
