// retry: calls a coroutine function until it returns. Cancellation is never retried; a time limit that passed inside is an
// error like any other. Runs in the calling task.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <perilune/backoff.hpp>
#include <perilune/outcome_of.hpp>
#include <perilune/timer.hpp>

namespace perilune {

// How often, and with which pauses.
struct retry_options {
  // Tries until one succeeds.
  static constexpr unsigned unlimited = static_cast<unsigned>(-1);

  unsigned attempts = 3;  // at least 1
  backoff pauses{};       // none unless given
  // Whether to go on after this failure, that of the attempt with this number, counted from 1. Always, unless given.
  std::function<bool(const error&, unsigned)> retry_if{};
};

namespace detail {

// How long to pause after the failure of an attempt; throws the failure again when that was the last.
duration pause_after(const retry_options& options, const std::exception_ptr& failure, unsigned attempt);
// Throws kind misuse.
void check_retry(const retry_options& options);

// What `fn` throws before it has a coroutine counts like what the coroutine throws.
template <class T, class F>
task<T> attempt(F& fn) {
  if constexpr (std::is_void_v<T>) {
    co_await fn();
  } else {
    T value = co_await fn();
    co_return std::move(value);
  }
}

}  // namespace detail

// Yields what the first call of `fn()`, a task<T>, that returns has returned. When no attempt is left, or `retry_if` says no,
// the last failure passes through.
template <class F, class T = typename std::invoke_result_t<F&>::result_type>
task<T> retry(retry_options options, F fn) {
  detail::check_retry(options);
  for (unsigned number = 1;; ++number) {
    outcome<T> end = co_await outcome_of(detail::attempt<T>(fn));
    if (end.returned()) {
      if constexpr (std::is_void_v<T>)
        co_return;
      else
        co_return std::move(end).value();
    }
    co_await sleep(detail::pause_after(options, end.exception(), number));
  }
}

}  // namespace perilune
