// A function posted to a worker, called on its thread. What it throws is reported and goes no further.
#pragma once

#include <functional>
#include <utility>

#include <perilune/runtime.hpp>

#include "inbox.hpp"

namespace perilune::detail {

class call_message final : public inbox_message {
 public:
  // Delivered by a worker of `owner`, which lives as long.
  call_message(runtime& owner, std::function<void()> fn) noexcept : owner_(owner), fn_(std::move(fn)) {}
  void deliver() override {
    try {
      fn_();
    } catch (...) {
      owner_.report_escaped(describe_exception(std::current_exception()));
    }
  }

 private:
  runtime& owner_;
  std::function<void()> fn_;
};

}  // namespace perilune::detail
