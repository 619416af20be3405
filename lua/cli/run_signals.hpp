// The signal rules of a run: the first INT, TERM or HUP cancels every task, and closers run within the grace; the second
// kills, so that shields no longer hold; the third exits on the spot, from the signal handler itself. A standard output
// that nobody reads any more (SIGPIPE) counts as such a signal.
//
// One per process, made by the runner on the thread that drives worker 0. Watching costs nothing until a signal comes.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include <perilune/interrupt.hpp>
#include <perilune/runtime.hpp>

namespace perilune::cli {

// Whether the other end of the pipe that standard output is has been closed.
bool nobody_reads_output() noexcept;

class run_signals {
 public:
  using message_sink = void (*)(const std::string&);

  run_signals(runtime& rt, message_sink say);
  run_signals(const run_signals&) = delete;
  run_signals& operator=(const run_signals&) = delete;
  ~run_signals();

  // The signal that cancelled the run, or 0.
  int ended_by() const noexcept { return ended_by_; }

 private:
  void heard();
  void begin_notice();
  void say_what_is_waited_for() const;

  runtime& runtime_;
  message_sink say_;
  interrupt request_;
  int ended_by_ = 0;
  bool killed_ = false;
  std::atomic<bool> notice_due_{false};
  std::jthread notice_;  // asks for the notice when closers take their time
};

}  // namespace perilune::cli
