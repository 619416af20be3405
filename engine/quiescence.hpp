// Knows which workers of a runtime rest, and acts when all of them do at once: then nothing in the runtime can change by
// itself, so the run is over, or somebody waited for just that, or virtual time jumps, or the run has stalled. Owned by
// the runtime; workers call it from their own threads, and it is guarded by one mutex that nobody takes while there is
// something to run.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "fellowship.hpp"
#include "timer_queue.hpp"

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
  // As rest, for a worker whose host waits in its place: the run does not end and does not stall. True: something was done,
  // look again. Without `own_time` a virtual clock moves only where a task asks for it.
  bool glance(worker& self, bool own_time);

  void aim_at(aim next) noexcept;
  bool reached() const noexcept { return reached_.load(std::memory_order_acquire); }
  bool leaving() const noexcept { return leaving_.load(std::memory_order_acquire); }
  // Those whose stall is a condition of this one's. Any thread.
  std::shared_ptr<fellowship> fellows();
  // Before anything runs: the place is this runtime's, and left at the runtime's end.
  void join(std::shared_ptr<fellowship> circle, fellow_place& place);
  // Whether its place is a daemon's. After fellows() or join().
  bool serves() const noexcept { return place_->daemon; }
  // Makes worker 0 rise and rest again. Any thread.
  void look_again() noexcept;
  // Whether a worker has been told something that it has not taken yet. Any thread.
  bool has_messages() const noexcept;
  // The run has stalled, as another has found: every worker ends its waits. Any thread.
  void end_waits();

  // The threads of workers 1..N-1 end: not with a run, but with the runtime.
  bool over() const noexcept { return leaving() && reached(); }

 private:
  struct note {  // of one worker, or of all
    bool resting = false;
    bool external = false;  // something outside will wake a task
    bool outside = false;   // something that is no fellow
    bool work = false;      // there are tasks that are no daemons
    std::uint64_t tasks = 0;
    std::uint64_t deadline = timer_queue::never;  // the next one
    std::uint64_t resumes = 0;
    std::optional<std::uint64_t> quiet;  // the earliest instant at which somebody waits for the quiet
  };

  static note look_at(worker& self);
  bool all_rest() const noexcept;
  note total() const noexcept;
  bool aim_met(const note& all) const noexcept;
  std::optional<std::uint64_t> next_jump(const note& all, bool own_time) const noexcept;
  bool jump(std::uint64_t deadline, const worker& self);
  static bool quiet_due(const note& all) noexcept;
  bool serve_quiet(std::uint64_t target, worker& self);
  void wake(unsigned index) noexcept;
  bool stalled(const note& all);
  void end_stall(const note& all);

  runtime& owner_;
  std::mutex mutex_;
  std::vector<note> notes_;
  aim aim_ = aim::none;
  std::shared_ptr<fellowship> circle_;  // where there are fellows
  fellow_place* place_ = nullptr;
  std::uint64_t stalled_at_ = ~std::uint64_t{0};  // how many resumes had been when the run stalled last
  bool pressed_ = false;                          // it stalled twice then
  std::atomic<bool> reached_{false};
  std::atomic<bool> leaving_{false};
};

}  // namespace perilune::detail
