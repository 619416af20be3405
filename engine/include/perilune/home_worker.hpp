// The worker that a resource of C++ tasks belongs to: that of the first task that uses it, and no other. Part of the
// resource; between ticks the host's thread may use what does not wait.
#pragma once

#include <perilune/scheduler.hpp>

namespace perilune::detail {

class home_worker {
 public:
  // `what` the resource is, "channel": static storage.
  explicit home_worker(const char* what) noexcept : what_(what) {}

  // For an operation of the running task. Throws kind misuse on another worker.
  scheduler& use_here() {
    scheduler& here = *scheduler::here();
    if (home_ != &here) [[unlikely]]
      settle_at(here);
    return here;
  }
  // For a call that does not wait: by a task or, between ticks, by the host.
  void check_outsider() const {
    const scheduler* const running = scheduler::here();
    if (home_ && home_ != running && running && running->current()) refuse();
  }

 private:
  void settle_at(scheduler& here);
  [[noreturn]] void refuse() const;

  scheduler* home_ = nullptr;
  const char* what_;
};

}  // namespace perilune::detail
