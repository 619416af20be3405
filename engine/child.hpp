// One child process from its start until it is reaped and, when it has to be ended, until its group is empty.
//
// Exit is seen through a pidfd on the reactor; graces run on the reactor's own timer. The exit handler keeps the child
// alive, so that it is reaped whoever forgets it. Shared with the operations that wait; the worker's thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <sys/types.h>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include <perilune/process.hpp>
#include <perilune/task_header.hpp>

#include "external_queue.hpp"
#include "program_start.hpp"
#include "unique_fd.hpp"

namespace perilune::detail {

class child final : public std::enable_shared_from_this<child> {
 public:
  // `start`: where it is not known yet whether the child executes its program.
  child(worker& home, pid_t pid, unique_fd pidfd, std::string name, bool own_group,
        std::unique_ptr<program_start> start);
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  // Begins to wait for the exit.
  void watch();

  pid_t pid() const noexcept { return pid_; }
  const std::string& name() const noexcept { return name_; }
  bool exited() const noexcept { return exited_; }
  bool ended() const noexcept { return ending_ == ending::over; }
  bool group_alive() const noexcept;
  std::size_t group_size() const noexcept;
  result<exit_status> status() const;
  int signal(int number, bool group) noexcept;

  // TERM now, KILL after the grace. A second call may only shorten the grace. Grants nothing before the reactor runs.
  void begin_end(duration grace) noexcept;
  // begin_end when the time is over, even if the child has exited and only its group is left.
  void limit(duration timeout, duration grace) noexcept;
  void lift_limit() noexcept;
  bool timed_out() const noexcept { return timed_out_; }

  // Ends the child, with a task that waits for it: below the running task, or detached.
  void end_in_background(duration grace, bool detached) noexcept;

  external_queue waiting;  // for the exit
  external_queue ending_waits;

 private:
  using steady = std::chrono::steady_clock;
  enum class ending : unsigned char { none, terminating, killing, over };

  // The task that outlives its process's owner. Shielded: only killing it shortens the grace.
  class reaper final : public task_header {
   public:
    explicit reaper(child& of) noexcept : wait_(of), child_(of) { name = "reaper"; }
    void resume() override;
    void on_settled() noexcept override { hold.reset(); }
    std::shared_ptr<child> hold;

   private:
    class wait final : public operation {
     public:
      explicit wait(child& of) noexcept : child_(of) {}
      bool try_commit(waiter&) override { return child_.ended(); }
      void arm(waiter& by) override { child_.ending_waits.arm(by); }
      void disarm(waiter& by) noexcept override { child_.ending_waits.disarm(by); }
      bool give_back(waiter&) noexcept override { return false; }
      bool holds(waiter& by) noexcept override;
      wait_description describe() const noexcept override { return {"kill", "process", &child_}; }

     private:
      child& child_;
    };
    wait wait_;
    child& child_;
  };

  void seen_exit() noexcept;
  void end_start() noexcept;
  void kill_now() noexcept;
  void check_group() noexcept;
  void finish() noexcept;
  void drive_timer(bool on) noexcept;
  void arm_timer() noexcept;
  void on_timer() noexcept;

  worker& home_;
  pid_t pid_;
  std::string name_;
  asio::posix::stream_descriptor pidfd_;
  asio::steady_timer timer_;
  steady::time_point started_;
  steady::time_point deadline_ = steady::time_point::max();  // of the limit, the grace, or the wait after KILL
  duration poll_{std::chrono::milliseconds(1)};              // how long until the group is looked at again
  duration limit_grace_{};
  exit_status status_;
  std::unique_ptr<program_start> start_;
  std::optional<error> not_started_;
  reaper reaper_{*this};
  ending ending_ = ending::none;
  bool own_group_;
  bool exited_ = false;
  bool lost_ = false;  // somebody else reaped it
  bool group_gone_ = false;
  bool timed_out_ = false;
  bool driven_ = false;
};

}  // namespace perilune::detail
