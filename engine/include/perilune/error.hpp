// The engine's error currency: a small value with a kind, a message and, where one exists, a system error number or the
// exception behind it. Copyable, owned by whoever holds it, free of threads.
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <variant>

namespace perilune {

// What sort of failure it is, as scripts see it in `e.kind`.
enum class error_kind : unsigned char {
  error,
  cancelled,
  timeout,
  group,
  limit,
  deadlock,
  transfer,
  io,
  process,
  misuse
};

// The name scripts see ("io", "timeout", ...). Static storage.
const char* to_string(error_kind kind) noexcept;

struct error {
  // The sort, and one line for people.
  error_kind kind = error_kind::error;
  std::string message{};
  int code = 0;                    // errno for kind io, otherwise 0
  std::exception_ptr exception{};  // set when a C++ exception is the cause

  // The error of a failed system call: `what` names call and object ("open /etc/x"), `code` is errno.
  static error system(std::string what, int code);
  // The symbolic name of an errno value ("ENOENT"), or "E<number>" where the system has none. Static or thread storage.
  static const char* code_name(int code) noexcept;
};

// A value or an error. Never throws by itself; reading the wrong side is a programming error.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(perilune::error problem) : state_(std::in_place_index<1>, std::move(problem)) {}

  // Whether there is a value, which value() requires.
  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  T& value() & noexcept { return *std::get_if<0>(&state_); }
  T&& value() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  const T& value() const& noexcept { return *std::get_if<0>(&state_); }
  T& operator*() & noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  const T& operator*() const& noexcept { return value(); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }
  // Requires that it is not ok.
  perilune::error& error() & noexcept { return *std::get_if<1>(&state_); }
  const perilune::error& error() const& noexcept { return *std::get_if<1>(&state_); }
  perilune::error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, perilune::error> state_;
};

struct unit {};  // the value of an operation that only succeeds

}  // namespace perilune
