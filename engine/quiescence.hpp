// Knows which workers of a runtime rest, and acts when all of them do at once: then nothing in the runtime can change by
// itself, so the run is over, or virtual time jumps, or the run has stalled. Owned by the runtime; workers call it from
// their own threads, and it is guarded by one mutex that nobody takes while there is something to run.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace perilune {
class runtime;
}

namespace perilune::detail {

class worker;

class quiescence {
 public:
  // What worker 0 runs for: that there is no task left but daemons, none at all, or that all workers may end.
  enum class aim : unsigned char { none, no_work, no_tasks, stop };

  quiescence(runtime& owner, unsigned workers) : owner_(owner), notes_(workers) {}
  quiescence(const quiescence&) = delete;
  quiescence& operator=(const quiescence&) = delete;

  // The worker has nothing to run. True: it may sleep. False: it shall look again.
  bool rest(worker& self);
  // The worker has woken up.
  void rise(const worker& self) noexcept;

  void aim_at(aim next) noexcept;
  bool reached() const noexcept { return reached_.load(std::memory_order_acquire); }
  bool leaving() const noexcept { return leaving_.load(std::memory_order_relaxed); }

 private:
  struct note {
    bool resting = false;
    bool external = false;       // something outside will wake a task
    bool work = false;           // there are tasks that are no daemons
    std::uint64_t tasks = 0;
    std::uint64_t deadline = 0;  // the next one, or timer_queue::never
    std::uint64_t resumes = 0;
  };
  struct sum {
    bool external = false;
    bool work = false;
    std::uint64_t tasks = 0;
    std::uint64_t deadline;
    std::uint64_t resumes = 0;
  };

  static note look_at(worker& self);
  bool all_rest() const noexcept;
  sum total() const noexcept;
  bool aim_met(const sum& all) const noexcept;
  bool jump(std::uint64_t deadline, const worker& self);
  void wake(unsigned index) noexcept;
  void end_stall(const sum& all);

  runtime& owner_;
  std::mutex mutex_;
  std::vector<note> notes_;
  aim aim_ = aim::none;
  std::uint64_t stalled_at_ = ~std::uint64_t{0};  // how many resumes had been when the run stalled last
  std::atomic<bool> reached_{false};
  std::atomic<bool> leaving_{false};
};

}  // namespace perilune::detail
