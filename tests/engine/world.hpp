// What tests of the engine run on: a runtime of one worker whose time is virtual, and a record of what it reported.
// Owned by the test; everything happens on its thread.
#pragma once

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <perilune/clock.hpp>
#include <perilune/runtime.hpp>
#include <perilune/task.hpp>
#include <perilune/timer.hpp>

#include "support/catch.hpp"

// No co_await inside CHECK or REQUIRE: g++ 12 evaluates it once more where the macros mean it not to be evaluated.
namespace perilune::test {

using namespace std::chrono_literals;

class world {
 public:
  world() : world(runtime_options{}) {}
  explicit world(runtime_options options) : rt(listening(std::move(options))) {}

  // Runs the coroutine that `body` makes as the main task. What it throws, the test throws.
  template <class F>
  auto run(F body) {
    return rt.run(body()).unwrap();
  }
  // As run, with the outcome as it is.
  template <class F>
  auto end_of(F body) {
    return rt.run(body());
  }

  virtual_clock time;
  std::vector<std::string> unobserved;    // messages of failures nobody looked at
  std::vector<std::uint64_t> overstayed;  // ids of tasks killed after their grace
  std::vector<std::string> stalls;        // reports of runs in which nothing could go on
  runtime rt;                             // goes first: its last tasks still report

 private:
  runtime_options listening(runtime_options options) {
    if (!options.time) options.time = &time;
    if (options.seed == 0) options.seed = 1;
    options.on_unobserved = [this](const task_header&, const error& e) { unobserved.push_back(e.message); };
    options.on_overstay = [this](const task_header& task) { overstayed.push_back(task.id); };
    options.on_stall = [this](const std::string& report) { stalls.push_back(report); };
    return options;
  }
};

using trace = std::vector<std::string>;

// Writes its text when it goes: the closer of a C++ task.
class closer {
 public:
  closer(trace& seen, std::string text) : seen_(&seen), text_(std::move(text)) {}
  closer(closer&& other) noexcept : seen_(std::exchange(other.seen_, nullptr)), text_(std::move(other.text_)) {}
  closer& operator=(closer&&) = delete;
  ~closer() {
    if (seen_) seen_->push_back(text_);
  }

 private:
  trace* seen_;
  std::string text_;
};

inline task<> note(trace& seen, std::string text) {
  seen.push_back(std::move(text));
  co_return;
}

inline task<> sleeper(duration span) { co_await sleep(span); }

// Sleeps for ever; says so when it is ended.
inline task<> sleep_until_ended(trace& seen, std::string text) {
  const closer guard(seen, std::move(text));
  co_await sleep(duration::max());
}

inline task<> fail(std::string message) {
  throw std::runtime_error(message);
  co_return;
}

inline task<> fail_after(duration span, std::string message) {
  co_await sleep(span);
  throw std::runtime_error(message);
}

template <class T>
inline task<T> value_of(T value) {
  co_return std::move(value);
}

// The message of the exception behind `failure`.
inline std::string text_of(const std::exception_ptr& failure) { return describe_exception(failure).message; }

}  // namespace perilune::test
