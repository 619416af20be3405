// What a host gives one tick of a runtime, and what it is told afterwards. Plain values of the thread that ticks.
#pragma once

#include <cstdint>
#include <optional>

#include <perilune/clock.hpp>
#include <perilune/error.hpp>

namespace perilune {

// When a tick stops, at the latest. Without either it runs until nothing is ready.
struct tick_budget {
  std::optional<duration> time{};     // stop after this much wall time; default: none
  std::optional<unsigned> resumes{};  // stop after about this many resumes; default: until idle
};

// What a tick did, and what it leaves.
struct tick_report {
  std::uint64_t resumed = 0;               // how many times a task ran
  std::uint64_t live = 0;                  // tasks not settled
  bool idle = true;                        // nothing is ready now
  std::optional<instant> next_deadline{};  // of the runtime's clock
  duration slack{0};                       // time left of the budget
  std::optional<error> refused{};          // kind misuse: the runtime is already being driven; nothing ran
};

}  // namespace perilune
