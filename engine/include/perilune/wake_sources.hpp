// What may still wake the tasks of a worker although none of them can run. While a worker of the runtime has any, nothing
// that waits is in a deadlock. Thread of the worker.
#pragma once

#include <cstddef>

namespace perilune {

class scheduler;

struct wake_sources {
  std::size_t timers;    // armed: sleeps, limits, ticks
  std::size_t external;  // blocking calls, reads and writes, children, signals and threads under way
};

// What could wake tasks of this worker. On its thread.
wake_sources may_wake(const scheduler& tasks) noexcept;

}  // namespace perilune
