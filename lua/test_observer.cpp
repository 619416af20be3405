// Counting, limiting and tracing. See test_observer.hpp.
#include "test_observer.hpp"

#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <perilune/cancel.hpp>

#include "wait_name.hpp"

namespace perilune {

namespace {

constexpr unsigned resumes_between_looks = 256;

bool stands_below(const task_header& task, const task_header& root) noexcept {
  const task_header* at = &task;
  while (at && at != &root) at = at->parent_task();
  return at != nullptr;
}

std::string with_place(std::string text, const task_header& task) {
  const std::string place = task.where();
  return place.empty() ? text : text + " at " + place;
}

}  // namespace

void test_observer::limit(task_header& task, instant limit, duration patience) noexcept {
  limited_ = &task;
  limit_ = limit;
  patience_ends_ = wall_clock::now() + patience;
  unchecked_ = 0;
}

void test_observer::cancel_at(task_header& task, std::uint64_t nth) noexcept {
  target_ = &task;
  left_ = nth;
  point_.clear();
}

void test_observer::check_limit() noexcept {
  const bool over = time_.now() > limit_;
  if (!over && ++unchecked_ < resumes_between_looks) return;
  unchecked_ = 0;
  if (!over && wall_clock::now() < patience_ends_) return;
  task_header& task = *std::exchange(limited_, nullptr);
  cancel(task, reason_ptr::make(cancel_source::timeout, over ? "took too long" : "ran too long in real time", 0,
                                "time limit"));
}

void test_observer::resumed(task_header& task) noexcept {
  if (limited_) check_limit();
  if (traces(task)) note(task, "runs");
}

void test_observer::suspended(task_header& task) noexcept {
  if (traces(task))
    note(task, with_place(task.status == task_state::ready ? "yields" : "waits in " + name_of_wait(task), task));
  const bool over = task.status == task_state::closing;
  if (!target_ || over || !stands_below(task, *target_) || --left_ > 0) return;
  point_ = with_place(name_of_wait(task), task);
  cancel(*std::exchange(target_, nullptr), reason_ptr::make(cancel_source::cancel, "cancelled here", 0, "test"));
}

void test_observer::spawned(task_header& task) noexcept {
  if (!tracing_) return;
  const task_header* parent = task.parent_task();
  note(task, parent && traces(*parent) ? "spawned by task " + std::to_string(number_of(*parent)) : "spawned");
}

void test_observer::ended(task_header& task) noexcept {
  if (&task == limited_) limited_ = nullptr;
  if (&task == target_) target_ = nullptr;
  if (traces(task)) note(task, to_string(task.status));
}

void test_observer::start_trace(const task_header* except) {
  tracing_ = true;
  untraced_ = except ? except->id : 0;
  trace_.clear();
  numbers_.clear();
  trace_began_ = time_.now();
}

std::string test_observer::take_trace() {
  tracing_ = false;
  return std::move(trace_);
}

unsigned test_observer::number_of(const task_header& task) {
  return numbers_.try_emplace(task.id, static_cast<unsigned>(numbers_.size()) + 1).first->second;
}

void test_observer::note(const task_header& task, const std::string& what) {
  const double time = to_seconds(time_.now() - trace_began_);
  fmt::format_to(std::back_inserter(trace_), "{:.9f} task {}", time, number_of(task));
  if (task.name) fmt::format_to(std::back_inserter(trace_), " ({})", task.name);
  fmt::format_to(std::back_inserter(trace_), " {}\n", what);
}

}  // namespace perilune
