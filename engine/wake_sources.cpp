// Counting what may wake tasks. See wake_sources.hpp.
#include <perilune/wake_sources.hpp>

#include <perilune/scheduler.hpp>

#include "worker.hpp"

namespace perilune {

wake_sources may_wake(const scheduler& tasks) noexcept {
  detail::worker& owner = tasks.owner();
  return {owner.timers().size(), owner.externals()};
}

}  // namespace perilune
