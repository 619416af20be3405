// What the tasks of one worker do while it lives, as the events of a Chrome trace: their turns, their waits, their ends, and
// the spans that scripts close. Owned by whoever records; made, used and destroyed on the worker's thread.
//
// It takes the observer's place and tells the one that was there. Recording never fails for want of memory or room: it counts
// what it had to leave out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include <perilune/clock.hpp>
#include <perilune/observer.hpp>
#include <perilune/runtime.hpp>

namespace perilune {

class trace_recorder final : public observer {
 public:
  // Keeps at most so many events.
  trace_recorder(runtime& of, scheduler& tasks, std::size_t most);
  ~trace_recorder();
  trace_recorder(const trace_recorder&) = delete;
  trace_recorder& operator=(const trace_recorder&) = delete;

  // A span of the task that ends now and began so many seconds ago.
  void span_ended(const task_header& task, std::string_view name, std::int64_t id, double seconds,
                  std::string_view status) noexcept;
  // The whole trace up to now, as JSON.
  std::string text() const;

  void spawned(task_header& task) noexcept override;
  void resumed(task_header& task) noexcept override;
  void suspended(task_header& task) noexcept override;
  void ended(task_header& task) noexcept override;

 private:
  struct stretch {
    instant began;
    std::string wait;  // empty: its turn
    std::string place;
  };

  template <class F>
  void record(F event) noexcept;
  void introduce(const task_header& task) noexcept;
  void begin(const task_header& task, std::string_view phase, std::string_view category, std::string_view name,
             instant at);
  void append_field(std::string_view name, std::string_view value);
  void append_time(std::string_view name, duration time);
  void append_stretch(const task_header& task, const stretch& past);
  void append_end(const task_header& task);

  runtime& runtime_;
  scheduler& tasks_;
  observer* const also_;
  const instant began_;
  std::size_t left_;
  std::uint64_t dropped_ = 0;
  std::string events_;                                  // JSON objects, a comma behind each
  std::unordered_map<std::uint64_t, stretch> present_;  // of tasks that were seen, by their ids
};

}  // namespace perilune
