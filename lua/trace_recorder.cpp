// Recording events. See trace_recorder.hpp.
#include "trace_recorder.hpp"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "json_text.hpp"
#include "wait_name.hpp"

namespace perilune {

trace_recorder::trace_recorder(runtime& of, scheduler& tasks, std::size_t most)
    : runtime_(of), tasks_(tasks), also_(of.options().observed_by), began_(of.time().now()), left_(most) {
  tasks_.observe(this);
}

trace_recorder::~trace_recorder() { tasks_.observe(also_); }

// Calls `event`, which appends one; leaves it out whole when there is no room or no memory.
template <class F>
void trace_recorder::record(F event) noexcept {
  const std::size_t size = events_.size();
  try {
    if (left_ == 0) throw std::bad_alloc();
    event();
    events_ += "},\n";
    --left_;
  } catch (const std::bad_alloc&) {
    events_.resize(size);
    ++dropped_;
  }
}

void trace_recorder::append_field(std::string_view name, std::string_view value) {
  events_ += events_.back() == '{' ? "\"" : ",\"";
  events_ += name;
  events_ += "\":";
  append_json_string(events_, value, false);
}

// In microseconds, as the format has it.
void trace_recorder::append_time(std::string_view name, duration time) {
  const std::int64_t ns = time.count();
  fmt::format_to(std::back_inserter(events_), ",\"{}\":{}.{:03}", name, ns / 1000, ns % 1000);
}

void trace_recorder::begin(const task_header& task, std::string_view phase, std::string_view category,
                           std::string_view name, instant at) {
  events_ += '{';
  append_field("ph", phase);
  append_field("cat", category);
  append_field("name", name);
  events_ += ",\"pid\":1,\"tid\":" + std::to_string(task.id);
  append_time("ts", at - began_);
}

void trace_recorder::append_stretch(const task_header& task, const stretch& past) {
  const bool waited = !past.wait.empty();
  begin(task, "X", waited ? "wait" : "turn", waited ? past.wait : "runs", past.began);
  append_time("dur", runtime_.time().now() - past.began);
  if (past.place.empty()) return;
  events_ += ",\"args\":{";
  append_field("at", past.place);
  events_ += '}';
}

void trace_recorder::append_end(const task_header& task) {
  begin(task, "i", "task", to_string(task.status), runtime_.time().now());
  append_field("s", "t");
}

void trace_recorder::spawned(task_header& task) noexcept {
  if (also_) also_->spawned(task);
}

void trace_recorder::introduce(const task_header& task) noexcept {
  record([&] {
    begin(task, "M", "task", "thread_name", began_);
    events_ += ",\"args\":{";
    append_field("name", label_of(task));
    events_ += '}';
    present_.insert_or_assign(task.id, stretch{runtime_.time().now(), {}, {}});
  });
}

void trace_recorder::resumed(task_header& task) noexcept {
  if (also_) also_->resumed(task);
  const auto at = present_.find(task.id);
  if (at == present_.end()) return introduce(task);
  record([&] { append_stretch(task, at->second); });
  at->second = {runtime_.time().now(), {}, {}};
}

void trace_recorder::suspended(task_header& task) noexcept {
  if (!present_.contains(task.id)) {
    introduce(task);  // it was running when the recording began
    if (const auto at = present_.find(task.id); at != present_.end()) at->second.began = began_;
  }
  if (const auto at = present_.find(task.id); at != present_.end()) {
    record([&] {
      append_stretch(task, at->second);
      at->second = {runtime_.time().now(), name_of_wait(task), task.where()};
    });
  }
  if (also_) also_->suspended(task);
}

void trace_recorder::ended(task_header& task) noexcept {
  if (const auto at = present_.find(task.id); at != present_.end()) {
    record([&] { append_stretch(task, at->second); });
    present_.erase(at);
  }
  record([&] { append_end(task); });
  if (also_) also_->ended(task);
}

void trace_recorder::span_ended(const task_header& task, std::string_view name, std::int64_t id, double seconds,
                                std::string_view status) noexcept {
  const instant now = runtime_.time().now();
  const auto half = [&](std::string_view phase, instant at) {
    begin(task, phase, "span", name, at);
    append_field("id", std::to_string(id));
  };
  record([&] { half("b", std::max(began_, now - from_seconds(seconds))); });
  record([&] {
    half("e", now);
    events_ += ",\"args\":{";
    append_field("status", status);
    events_ += '}';
  });
}

std::string trace_recorder::text() const {
  std::string all =
      "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"dropped\":" + std::to_string(dropped_) + "},\"traceEvents\":[\n";
  all += std::string_view(events_).substr(0, events_.empty() ? 0 : events_.size() - 2);
  return all + "\n]}\n";
}

}  // namespace perilune
