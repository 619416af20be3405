// Child processes. process::spawn starts one; run starts one, feeds it, collects what it says and waits for its end.
//
// A child gets default signals, an empty signal mask, none of the engine's descriptors and, unless told otherwise, a
// process group of its own, so that it and what it starts can be ended together. The engine reaps its children and
// nobody else's, installs no signal handler and ignores no signal. Time limits and graces of processes are real time,
// whatever the runtime's clock.
//
// A process object owns the child. Destroyed while the child runs, it ends it: TERM to the group, the grace, KILL, reaped.
// A task below the running one waits for that, so the running task, and a region that was cut, end only afterwards.
// Everything here belongs to one worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <perilune/clock.hpp>
#include <perilune/stream.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {
class child;
}

// What a child has used.
struct resource_usage {
  // CPU time of the child and its own children, and the most memory that it had at once.
  double user_seconds = 0;
  double system_seconds = 0;
  std::uint64_t max_rss_bytes = 0;
};

// How a child has ended.
struct exit_status {
  int code = -1;   // -1 when a signal ended it
  int signal = 0;  // 0 when it exited
  bool core_dumped = false;
  duration elapsed{};
  resource_usage usage{};

  // It exited, with status 0.
  bool success() const noexcept { return code == 0; }
};

// What one of the child's standard streams is.
class stdio {
 public:
  enum class kind : unsigned char { inherit, null, pipe, text, file, append, descriptor, output };

  // The parent's own, /dev/null, or a pipe to the parent.
  static stdio inherit() { return stdio(kind::inherit); }
  static stdio null() { return stdio(kind::null); }
  static stdio pipe() { return stdio(kind::pipe); }
  // Standard input only: these bytes, then the end.
  static stdio text(std::string bytes) { return stdio(kind::text, std::move(bytes)); }
  // Relative to the directory of this process. Output truncates the file.
  static stdio file(std::string path) { return stdio(kind::file, std::move(path)); }
  static stdio append(std::string path) { return stdio(kind::append, std::move(path)); }
  // A descriptor of the caller's, which stays open here.
  static stdio descriptor(int fd) { return stdio(kind::descriptor, {}, fd); }
  // Standard error only: where standard output goes.
  static stdio output() { return stdio(kind::output); }

  // Which of these it is, and what goes with it: bytes or a path, or a descriptor.
  kind what() const noexcept { return kind_; }
  const std::string& value() const noexcept { return value_; }
  int fd() const noexcept { return fd_; }

 private:
  explicit stdio(kind k, std::string value = {}, int fd = -1) : value_(std::move(value)), fd_(fd), kind_(k) {}
  std::string value_;
  int fd_;
  kind kind_;
};

// Not an aggregate on purpose: g++ 12 destroys an aggregate written inside a co_await expression twice.
struct process_options {
  process_options() = default;
  explicit process_options(std::vector<std::string> words) : argv(std::move(words)) {}

  // command("ls", "-l", path)
  template <class... Words>
  static process_options command(Words&&... words) {
    process_options options;
    (options.argv.emplace_back(std::forward<Words>(words)), ...);
    return options;
  }

  std::vector<std::string> argv{};  // argv[0] with a slash is a path, otherwise searched in the child's PATH
  std::string cwd{};                // empty: that of this process
  std::vector<std::pair<std::string, std::optional<std::string>>> env{};  // set, or removed where there is no value
  bool clear_env = false;                                                 // start from an empty environment
  stdio in = stdio::null();
  stdio out = stdio::inherit();
  stdio err = stdio::inherit();
  bool own_group = true;
  bool confirm_start = true;                 // see process::spawn
  bool kill_on_close = true;                 // false: the child is left running, and still reaped
  duration grace = std::chrono::seconds(5);  // between TERM and KILL when the object ends it
};

// Waits for the child to exit. May be used again, and by several waiters; cancelling it does not touch the child.
class process_wait_operation final : public operation {
 public:
  explicit process_wait_operation(std::shared_ptr<detail::child> of) noexcept : child_(std::move(of)) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"wait", "process", child_.get()}; }
  // ECHILD when the host has reaped or ignored the child; of an unconfirmed start, what kept the child from its program.
  result<exit_status> take_result();

  auto operator co_await() && { return detail::awaiter<process_wait_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::child> child_;
};

// Ends the child and its group: TERM, `grace`, KILL, reaped, until no process of the group is left (2 seconds after KILL
// at most). Begins with the first wait and goes on when the wait is given up. May be used again, and by several waiters.
class process_end_operation final : public operation {
 public:
  process_end_operation(std::shared_ptr<detail::child> of, duration grace) noexcept
      : child_(std::move(of)), grace_(grace) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"kill", "process", child_.get()}; }
  result<exit_status> take_result();

  auto operator co_await() && { return detail::awaiter<process_end_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::child> child_;
  duration grace_;
};

class process {
 public:
  // Only on a worker. Kind io with what could not be done: "spawn curl: No such file or directory". The worker stands still
  // until the child has executed its program; without confirm_start it goes on, and what keeps the child from its program
  // then is the error of the wait.
  static result<process> spawn(const process_options& options);

  process(process&&) noexcept = default;
  process& operator=(process&& other) noexcept;
  ~process() { close(); }

  // Of the child, also when it has ended.
  pid_t id() const noexcept;
  // It has not been reaped.
  bool running() const noexcept;
  // Whether a process of the child's group is left; without a group of its own, whether the child is.
  bool group_alive() const noexcept;
  // How many processes of its group run, itself included.
  std::size_t group_size() const noexcept;

  // Streams of those that were asked to be pipes; empty otherwise.
  const writer& input() const noexcept { return input_; }
  const reader& output() const noexcept { return output_; }
  const reader& errors() const noexcept { return errors_; }

  // Waits for the child to exit; cancelled, it leaves the child alone.
  process_wait_operation wait() const { return process_wait_operation(child_); }
  // Ends the child and its group: TERM, after `grace` KILL.
  process_end_operation kill(duration grace) const { return {child_, grace}; }
  // To the whole group where the child has one of its own, unless `group` is false. ESRCH when it has ended.
  result<unit> signal(int number, bool group = true) const;

  // Ends the child as the destructor does. Idempotent.
  void close() noexcept;
  // As close, but no task of the caller's waits for the end: for destructors that run in whatever task is at hand. The
  // runtime waits for it.
  void close_detached() noexcept;
  const std::shared_ptr<detail::child>& child() const noexcept { return child_; }

 private:
  process() noexcept = default;
  void give_up(bool detached) noexcept;

  std::shared_ptr<detail::child> child_;
  writer input_;
  writer feed_;  // of stdio::text
  reader output_;
  reader errors_;
  duration grace_{};
  bool kill_on_close_ = true;
};

// What process_options says, with both outputs captured unless something else is said.
struct run_options : process_options {
  run_options() { capture(); }
  explicit run_options(process_options options) : process_options(std::move(options)) { capture(); }
  explicit run_options(std::vector<std::string> words) : process_options(std::move(words)) { capture(); }

  std::optional<duration> timeout{};                 // then the group is ended
  std::size_t output_limit = std::size_t{64} << 20;  // bytes of each captured stream; more ends the group

 private:
  void capture() { out = err = stdio::pipe(); }
};

// Whether, and by which limit, the child was stopped.
enum class run_stop : unsigned char { none, timeout, output_limit };

// What is left of a run.
struct run_result {
  // How it ended.
  exit_status status{};
  std::string out{};  // of captured streams, up to the limit
  std::string err{};
  run_stop stopped_by = run_stop::none;
};

// Runs a child to its end: its input is fed and its output collected at the same time. Returns when it was reaped and
// its captured streams have ended, or when it had to be stopped and its group is gone. Cancelled midway, the group is
// ended first. The error is that of the start; how the child ended is in the result.
task<result<run_result>> run(run_options options);

}  // namespace perilune
