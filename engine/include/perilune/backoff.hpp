// The pauses between attempts: `first`, then `factor` times as long each time, at most `max`. With jitter a pause is drawn
// from its last part: 0.5 means from half of it to all of it. A value; free of threads.
#pragma once

#include <cstdint>

#include <perilune/clock.hpp>

namespace perilune {

struct backoff {
  // The pause after the first attempt, and the longest that there is.
  duration first{0};
  duration max = duration::max();
  double factor = 2;  // at least 1
  double jitter = 0;  // from 0 to 1

  // How long to wait after the given failure, counted from 1. `random` decides about jitter.
  [[nodiscard]] duration pause(unsigned failures, std::uint64_t random) const noexcept;
  // Throws kind misuse, naming the call, when a field is out of its range.
  void check(const char* call) const;
};

}  // namespace perilune
