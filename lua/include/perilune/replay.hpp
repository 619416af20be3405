// Recording a session of a deterministic host, and running it again: the same inputs at the same ticks give the same run, and where
// they do not, the first difference is named.
//
// Not repeated: the order of `next`, addresses (tostring(table)), the machine's time (os.time, os.clock), what other threads and
// processes do, and when the collector gets to something (finalizers, weak tables, collectgarbage).
//
// What counts as an input is whatever the program gives its scripts between two ticks: a key that was pressed, the answer of a
// server. It goes through the session, which applies and notes it. A session is made for one host with host_options::deterministic, a
// seed and a manual clock, and used on its thread; host and clock outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/host.hpp>

namespace perilune {

// How a session gives inputs, and what it looks at.
struct session_options {
  // Gives an input to the scripts.
  std::function<void(const value&)> apply{};
  // Globals that belong to the state besides the tasks: "world", "score".
  std::vector<std::string> watched{};
};

// Where a run left the record.
struct session_difference {
  std::uint64_t tick = 0;  // counted from 1
  std::string recorded{};  // what the state had there, a line of it; "" for nothing
  std::string now{};
  std::string text() const;  // "tick 12: recorded ..., now ..."
};

// One session of a host: see above.
class session {
 public:
  // Begins at tick 0, with what the host is now.
  session(const host& h, manual_clock& clock, session_options options);

  // Applies an input. It must be plain: no functions, tasks or objects, which are left out of the record as nil.
  void input(const value& given);
  // Moves the clock and ticks, until nothing is ready: no time limit, which no two runs would share.
  tick_report tick(duration by);
  // A number for all that the tasks and the watched globals are now.
  std::uint64_t state_hash() const noexcept { return hash_; }
  // The record so far: text, to be kept in a file.
  const std::string& record() const noexcept { return record_; }

  // Runs a record from its beginning in this session, which must not have begun. Nothing when the run was the same; kind transfer for
  // a text that is no record.
  result<std::optional<session_difference>> replay(std::string_view record);

 private:
  std::vector<std::string> look();

  const host& host_;
  manual_clock& clock_;
  session_options options_;
  std::vector<std::string> state_;  // lines, sorted
  std::uint64_t hash_ = 0;
  std::uint64_t ticks_ = 0;
  std::string record_;
};

}  // namespace perilune
