// The runtime: N workers, the clock they share, and the rules of a run. Owned by the host. The thread that calls run()
// or tick() is worker 0; workers 1..N-1 have threads of their own. Several runtimes may live in one process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <perilune/blocking.hpp>
#include <perilune/clock.hpp>
#include <perilune/error.hpp>
#include <perilune/outcome.hpp>
#include <perilune/scheduler.hpp>
#include <perilune/task.hpp>
#include <perilune/tick.hpp>

namespace perilune {

namespace detail {
class poll_door;
class quiescence;
class worker;
struct host_loop;
}  // namespace detail

// What a runtime is made with. Plain values; what they point to outlives the runtime.
struct runtime_options {
  unsigned workers = 1;                           // at least 1
  clock* time = nullptr;                          // default: a steady clock of the runtime's own
  std::uint64_t seed = 0;                         // of every random choice; 0 draws one
  bool shuffle = false;                           // tasks that are ready run in an order drawn from the seed
  observer* observed_by = nullptr;                // told what every task does; outlives the runtime
  duration grace = std::chrono::seconds(10);      // a cancelled task that lives longer is killed
  duration long_hold = std::chrono::seconds(30);  // a lock or permit held longer while somebody waits is told; 0: never
  std::size_t blocking_threads = 4;               // threads for blocking calls, started when needed
  std::size_t blocking_queue = 256;               // calls that may wait for a thread before the pool counts as full
  std::size_t file_threads = 4;                   // threads for calls on files, which no other calls hold up
  // A task failed and nobody looked at the outcome. Default: one line on standard error.
  std::function<void(const task_header&, const error&)> on_unobserved{};
  // A cancelled task outlived its grace and was killed. Default: one line on standard error.
  std::function<void(const task_header&)> on_overstay{};
  // Somebody waits for a lock or permit that has been held for longer than `long_hold`; once for each holding, with its
  // holder and the line that took it. Default: one line on standard error.
  std::function<void(const std::string& warning)> on_long_hold{};
  // A blocking call still ran a grace after the end; its thread is left behind. Default: one line on standard error.
  std::function<void(const char* name)> on_stuck{};
  // Nothing can run and nothing can wake anything; called before the waits are ended with kind deadlock.
  std::function<void(const std::string& report)> on_stall{};
  // Something can run on worker 0 and nobody drives it: called once until the next tick, by the thread that caused it. It
  // should only tell the host's loop, and must not call the runtime.
  std::function<void()> on_ready{};
  // The host's loop that drives worker 0: perilune::join of <perilune/asio.hpp>.
  std::shared_ptr<detail::host_loop> joined{};
};

class runtime {
 public:
  // Starts the threads of workers 1 and up. Options that make no sense are told by invalid().
  explicit runtime(runtime_options options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  // Ends every task still alive (closers run, within the grace) and joins the workers' threads. Ends the program with a
  // message when called from inside one of the runtime's own tasks. A joined runtime cannot wait for its host's loop: what
  // does not end at once is left behind and reported, so cancel_all() and drive that loop before.
  ~runtime();

  // The configuration error, if the options made no sense; every run then fails with it.
  const std::optional<error>& invalid() const noexcept { return invalid_; }

  // Runs `main` as a root task of worker 0 on this thread, until its outcome has settled and detached tasks have ended.
  // Fails at once, kind misuse, when called inside a task or on a joined runtime.
  template <class T>
  outcome<T> run(task<T> main) {
    if (auto refused = refuse_run()) return outcome<T>(std::make_exception_ptr(task_error(*std::move(refused))));
    task_handle<T> handle = spawn(std::move(main));
    run_until_settled(handle.header());
    return std::move(handle).take();
  }

  // Queues a root task on worker 0. Only from the thread that drives worker 0, outside or inside a task. For other workers
  // and from other threads: spawn_on in <perilune/remote.hpp>.
  template <class T>
  task_handle<T> spawn(task<T> body, spawn_options options = {}) {
    scheduler& tasks = worker_scheduler(0);
    if (!options.below) options.below = &tasks.roots;
    task_handle<T> handle = detail::make_task(std::move(body));
    tasks.spawn(handle.header(), options);
    kick();
    return handle;
  }

  // Calls `fn` on the given worker's thread, soon; fn may spawn there. Any thread. False when there is no such worker or it
  // has shut down. What escapes fn is reported like a failure nobody looked at.
  bool post(unsigned worker, std::function<void()> fn);

  // Drives worker 0 until the budget is spent or nothing is ready. Never blocks.
  tick_report tick(const tick_budget& budget = {});
  // A descriptor that becomes readable when a tick has something to do that no deadline tells: I/O, other threads. For the
  // host's own loop, which must not read it; valid as long as the runtime. Fails where the system has none left, and, kind
  // misuse, on a joined runtime. Thread of worker 0.
  result<int> poll_fd();
  // How long the host's loop may wait for poll_fd() before the next tick: zero when something is ready, none for ever. Of a
  // manual clock: what is left at the speed of the machine's. Thread of worker 0.
  std::optional<duration> time_to_next() noexcept;
  // Moves a manual or virtual clock, and ticks at every deadline on the way, so that each task that wakes sees its own time.
  // Kind misuse for a steady clock, a negative span, and inside a task.
  result<tick_report> advance(duration by);
  // Drives worker 0 until this root task has settled and detached tasks have ended; daemons are cancelled then.
  void run_until_settled(task_header& main);
  // Drives worker 0 until `done(argument)`, which is asked between batches; waits when nothing is ready.
  void run_until(bool (*done)(void*), void* argument);
  // Why the thread may not begin to drive worker 0 now, if it may not.
  std::optional<error> refuse_run() const;
  // Cancels every task and waits for their closers. Also done by the destructor.
  void end_all();
  // Drives worker 0 until every task has ended, those of other workers and detached ones included; daemons are cancelled
  // when they are all that is left.
  void run_until_idle();

  // Cancels every task of every worker with this reason; new tasks never start. Thread of worker 0.
  void cancel_all(cancel_source source, std::string text, std::string by_name);
  // As cancel_all, but shields no longer hold.
  void kill_all(cancel_source source, std::string text, std::string by_name);

  // So many workers, calls on the pool, and the clock and options that were given. Any thread.
  unsigned workers() const noexcept;
  blocking_stats blocking() const noexcept;
  clock& time() const noexcept { return *clock_; }
  const runtime_options& options() const noexcept { return options_; }
  // For those who write operations of their own: the scheduler of a worker, on its thread only.
  scheduler& worker_scheduler(unsigned index) noexcept;
  // The runtime's own parts, for the library.
  detail::worker& worker(unsigned index) noexcept { return *workers_[index]; }
  detail::blocking_pool& pool() const noexcept { return *pool_; }
  detail::blocking_pool& files() const noexcept { return *files_; }
  detail::quiescence& quiet() const noexcept { return *quiet_; }

  // Pass it on to the option of that name, on the thread that calls. What the option throws ends there.
  void report_unobserved(const task_header& task, const error& problem) noexcept;
  void report_escaped(const error& problem) noexcept;
  void report_overstay(const task_header& task) noexcept;
  void report_long_hold(const std::string& warning) noexcept;
  void report_stall(const std::string& report) noexcept;
  void report_stuck(const char* name) noexcept;

 private:
  void start_crew();
  void each_worker(void (*act)(detail::worker&, const reason_ptr&), const cancel_reason& reason);
  void abandon_unfinished() noexcept;
  void kick() noexcept;

  runtime_options options_;
  std::optional<error> invalid_;
  std::unique_ptr<clock> own_clock_;
  clock* clock_;
  std::unique_ptr<detail::poll_door> poll_;
  std::unique_ptr<detail::quiescence> quiet_;
  std::vector<std::unique_ptr<detail::worker>> workers_;
  std::vector<std::thread> crew_;  // of workers 1 to N-1
  std::shared_ptr<detail::blocking_pool> pool_;
  std::shared_ptr<detail::blocking_pool> files_;
};

}  // namespace perilune
