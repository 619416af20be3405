// How a task ended: returned a value, failed with an error, or was cancelled for a reason. A value of its own, readable
// any number of times and by any number of joiners of the same worker.
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <variant>

#include <perilune/cancel.hpp>
#include <perilune/error.hpp>

namespace perilune {

// The exception that carries an engine error out of a task.
class task_error : public std::exception {
 public:
  explicit task_error(error problem) : problem_(std::move(problem)) {}
  const char* what() const noexcept override { return problem_.message.c_str(); }
  const error& problem() const noexcept { return problem_; }

 private:
  error problem_;
};

// The error a C++ exception stands for: a task_error's own, otherwise the type's name and what().
error describe_exception(std::exception_ptr exception) noexcept;

template <class T>
class [[nodiscard]] outcome {
 public:
  // unit for a task that returns nothing.
  using value_type = std::conditional_t<std::is_void_v<T>, unit, T>;

  outcome() noexcept = default;  // not ended yet
  explicit outcome(value_type value) : state_(std::in_place_index<1>, std::move(value)) {}
  explicit outcome(std::exception_ptr failure) noexcept : state_(std::in_place_index<2>, std::move(failure)) {}
  explicit outcome(reason_ptr reason) noexcept : state_(std::in_place_index<3>, std::move(reason)) {}

  // What the task ends with; set once, by whoever runs it.
  template <class... Args>
  void set_value(Args&&... args) {
    state_.template emplace<1>(std::forward<Args>(args)...);
  }
  void set_failure(std::exception_ptr failure) noexcept { state_.template emplace<2>(std::move(failure)); }
  void set_cancelled(reason_ptr reason) noexcept { state_.template emplace<3>(std::move(reason)); }

  // How it has ended, if it has; one of the last three is true then.
  bool ended() const noexcept { return state_.index() != 0; }
  bool returned() const noexcept { return state_.index() == 1; }
  bool failed() const noexcept { return state_.index() == 2; }
  bool cancelled() const noexcept { return state_.index() == 3; }

  // Requires returned().
  value_type& value() & noexcept { return *std::get_if<1>(&state_); }
  const value_type& value() const& noexcept { return *std::get_if<1>(&state_); }
  value_type&& value() && noexcept { return std::move(*std::get_if<1>(&state_)); }
  // The value, or the failure thrown again; a cancellation becomes a task_error of kind cancelled. Requires ended().
  value_type unwrap() && {
    if (failed()) std::rethrow_exception(exception());
    if (cancelled()) std::rethrow_exception(std::make_exception_ptr(task_error(error())));
    return std::move(*this).value();
  }
  // Requires failed().
  const std::exception_ptr& exception() const noexcept { return *std::get_if<2>(&state_); }
  // Requires cancelled(). May be empty when the asker gave none.
  const reason_ptr& reason() const noexcept { return *std::get_if<3>(&state_); }

  // The failure or cancellation as a value. Requires !returned().
  perilune::error error() const {
    if (failed()) return describe_exception(exception());
    perilune::error e{error_kind::cancelled, "cancelled", 0, {}};
    if (cancelled() && reason() && !reason()->text.empty()) e.message += ": " + reason()->text;
    return e;
  }

 private:
  std::variant<std::monostate, value_type, std::exception_ptr, reason_ptr> state_;
};

}  // namespace perilune
