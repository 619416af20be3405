// What the test kit learns from the engine about the task under test: where it suspends, how long it takes, and, when asked
// for, the trace of every switch. Owned by a test_run; called by the thread of its worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include <perilune/clock.hpp>
#include <perilune/observer.hpp>

namespace perilune {

class test_observer final : public observer {
 public:
  explicit test_observer(clock& time) noexcept : time_(time) {}

  // Cancels the task once the clock has passed `limit`, or it and those below it have run for `patience` of real time.
  // It keeps nothing alive: a run that waits for nothing else has stalled.
  void limit(task_header& task, instant limit, duration patience) noexcept;
  // Cancels the task at the nth suspension from now of it or any task below it.
  void cancel_at(task_header& task, std::uint64_t nth) noexcept;
  // Where that was, as "recv on a channel at file:line", or "" when the task ended before.
  const std::string& cancelled_at() const noexcept { return point_; }

  // A trace names tasks by numbers in the order of their first appearance and counts time from its start, so that it depends
  // on what the tasks do, and on nothing that was before. It leaves out the task `except`, who asks for it.
  void start_trace(const task_header* except = nullptr);
  std::string take_trace();

  void spawned(task_header& task) noexcept override;
  void resumed(task_header& task) noexcept override;
  void suspended(task_header& task) noexcept override;
  void ended(task_header& task) noexcept override;

 private:
  using wall_clock = std::chrono::steady_clock;

  void check_limit() noexcept;
  bool traces(const task_header& task) const noexcept { return tracing_ && task.id != untraced_; }
  void note(const task_header& task, const std::string& what);
  unsigned number_of(const task_header& task);

  clock& time_;
  task_header* limited_ = nullptr;
  instant limit_{0};
  wall_clock::time_point patience_ends_;
  unsigned unchecked_ = 0;  // resumes since the wall clock was read

  task_header* target_ = nullptr;  // to be cancelled at a suspension
  std::uint64_t left_ = 0;         // suspensions until then
  std::string point_;

  bool tracing_ = false;
  std::uint64_t untraced_ = 0;  // the id of a task
  instant trace_began_{0};
  std::string trace_;
  std::unordered_map<std::uint64_t, unsigned> numbers_;
};

}  // namespace perilune
