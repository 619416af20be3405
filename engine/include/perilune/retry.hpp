// retry: calls a coroutine function until it returns. Cancellation is never retried; a time limit that passed inside is an
// error like any other. Runs in the calling task.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <perilune/backoff.hpp>
#include <perilune/timer.hpp>

namespace perilune {

struct retry_options {
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

}  // namespace detail

// Yields what the first call of `fn()`, a task<T>, that returns has returned. When no attempt is left, or `retry_if` says no,
// the last failure passes through.
template <class F, class T = typename std::invoke_result_t<F&>::result_type>
task<T> retry(retry_options options, F fn) {
  detail::check_retry(options);
  for (unsigned attempt = 1;; ++attempt) {
    std::exception_ptr failure;
    try {
      if constexpr (std::is_void_v<T>) {
        co_await fn();
        co_return;
      } else {
        T value = co_await fn();
        co_return std::move(value);
      }
    } catch (...) {
      failure = std::current_exception();
    }
    co_await sleep(detail::pause_after(options, failure, attempt));
  }
}

}  // namespace perilune
