// Watching, signalling and ending a child. See child.hpp.
#include "child.hpp"

#include <algorithm>
#include <cerrno>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "process_group.hpp"
#include "reactor.hpp"
#include "spawn.hpp"

namespace perilune::detail {

namespace {

constexpr duration longest_poll = std::chrono::milliseconds(50);
constexpr duration thorough_poll = std::chrono::milliseconds(4);  // from here on zombies of others are told apart
constexpr duration patience_after_kill = std::chrono::seconds(2);

double seconds(const timeval& span) noexcept {
  return static_cast<double>(span.tv_sec) + static_cast<double>(span.tv_usec) * 1e-6;
}

std::chrono::steady_clock::time_point after(duration span) noexcept {
  const auto now = std::chrono::steady_clock::now();
  return std::chrono::steady_clock::time_point(
      saturating_add(std::chrono::duration_cast<instant>(now.time_since_epoch()), span));
}

}  // namespace

child::child(worker& home, pid_t pid, unique_fd pidfd, std::string name, bool own_group,
             std::unique_ptr<program_start> start)
    : home_(home),
      pid_(pid),
      name_(std::move(name)),
      pidfd_(home.io_reactor().executor(), pidfd.get()),
      timer_(home.io_reactor().executor()),
      started_(steady::now()),
      start_(std::move(start)),
      own_group_(own_group) {
  pidfd.release();
}

void child::watch() {
  pidfd_.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [self = shared_from_this(), alive = home_.io_reactor().lifetime()](const asio::error_code& stopped) {
        if (!stopped && !alive.expired()) self->seen_exit();
      });
}

void child::seen_exit() noexcept {
  int how = 0;
  rusage used{};
  const pid_t reaped = ::wait4(pid_, &how, WNOHANG, &used);
  if (reaped == 0) return watch();
  end_start();
  exited_ = true;
  lost_ = reaped < 0;
  if (reaped > 0) {
    if (WIFEXITED(how)) status_.code = WEXITSTATUS(how);
    if (WIFSIGNALED(how)) status_.signal = WTERMSIG(how);
    status_.core_dumped = WIFSIGNALED(how) && WCOREDUMP(how);
    status_.usage = {seconds(used.ru_utime), seconds(used.ru_stime), static_cast<std::uint64_t>(used.ru_maxrss) * 1024};
  }
  status_.elapsed = steady::now() - started_;
  asio::error_code ignored;
  static_cast<void>(pidfd_.close(ignored));
  group_gone_ = !own_group_ || !group_answers(pid_);
  waiting.grant_all();
  if (ending_ == ending::killing) deadline_ = after(patience_after_kill);
  if (ending_ != ending::none) check_group();
}

// Whatever has exited needs nothing of its start any more.
void child::end_start() noexcept {
  if (!start_) return;
  if (const int code = start_->problem()) not_started_ = start_error(start_->words[0], start_->folder, code);
  start_.reset();
}

result<exit_status> child::status() const {
  if (not_started_) return *not_started_;
  if (lost_) return error::system("wait for " + name_, ECHILD);
  return status_;
}

bool child::group_alive() const noexcept {
  if (!exited_) return true;
  return !group_gone_ && group_runs(pid_);
}

std::size_t child::group_size() const noexcept {
  if (!own_group_) return exited_ ? 0 : 1;
  return group_gone_ ? 0 : group_members(pid_);
}

int child::signal(int number, bool group) noexcept {
  group = group && own_group_;
  if (exited_ && (!group || group_gone_)) return ESRCH;
  return ::kill(group ? -pid_ : pid_, number) == 0 ? 0 : errno;
}

void child::begin_end(duration grace) noexcept {
  if (ending_ >= ending::killing) return;
  if (ending_ == ending::none) {
    ending_ = ending::terminating;
    deadline_ = steady::time_point::max();
    drive_timer(true);
    if (grace > duration::zero()) {
      signal(SIGTERM, true);
      signal(SIGCONT, true);
    }
  }
  if (grace <= duration::zero()) return kill_now();
  deadline_ = std::min(deadline_, after(grace));
  arm_timer();
}

void child::kill_now() noexcept {
  if (ending_ == ending::over) return;
  ending_ = ending::killing;
  signal(SIGKILL, true);
  deadline_ = after(patience_after_kill);
  poll_ = std::chrono::milliseconds(1);
  arm_timer();
}

// A group is empty when nothing answers to its number.
void child::check_group() noexcept {
  if (!group_gone_) group_gone_ = poll_ >= thorough_poll ? !group_runs(pid_) : !group_answers(pid_);
  if (group_gone_ || (ending_ == ending::killing && steady::now() >= deadline_)) return finish();
  arm_timer();
}

void child::finish() noexcept {
  ending_ = ending::over;
  drive_timer(false);
  ending_waits.grant_all();
}

void child::arm_timer() noexcept {
  const bool polls = exited_ && ending_ != ending::none;
  if (!polls && (deadline_ == steady::time_point::max() || ending_ == ending::killing)) return;
  timer_.expires_at(polls ? std::min(deadline_, after(std::exchange(poll_, std::min(poll_ * 2, longest_poll))))
                          : deadline_);
  timer_.async_wait(
      [self = shared_from_this(), alive = home_.io_reactor().lifetime()](const asio::error_code& stopped) {
        if (!stopped && !alive.expired()) self->on_timer();
      });
}

void child::on_timer() noexcept {
  const bool late = steady::now() >= deadline_;
  switch (ending_) {
    case ending::none:
      if (!late) return;
      timed_out_ = true;
      return begin_end(limit_grace_);
    case ending::terminating:
      if (late) return kill_now();
      break;
    case ending::killing:
      break;
    case ending::over:
      return;
  }
  if (exited_) check_group();
}

void child::limit(duration timeout, duration grace) noexcept {
  if (ending_ != ending::none) return;
  limit_grace_ = grace;
  deadline_ = after(timeout);
  drive_timer(true);
  arm_timer();
}

void child::lift_limit() noexcept {
  if (ending_ != ending::none) return;
  deadline_ = steady::time_point::max();
  drive_timer(false);
}

// While the timer matters, the reactor is polled even when no task waits for this child.
void child::drive_timer(bool on) noexcept {
  if (driven_ == on) return;
  driven_ = on;
  if (on) return home_.background_begins();
  timer_.cancel();
  home_.background_ends();
}

void child::reaper::resume() {
  mark(trait::started);
  become(wait_state::idle);
  if (child_.ended()) return home->body_ended(*this, task_state::returned);
  if (top->has(cancel_node::killed)) child_.kill_now();
  home->park(*this, wait_);
}

bool child::reaper::wait::holds(waiter& by) noexcept {
  if (by.task->top->has(cancel_node::killed)) child_.kill_now();
  return true;
}

void child::end_in_background(duration grace, bool detached) noexcept {
  begin_end(grace);
  if (ended() || reaper_.hold) return;
  reaper_.hold = shared_from_this();
  reaper_.set(cancel_node::shielded);
  home_.tasks().spawn(reaper_, {.detached = detached || !home_.tasks().current()});
  home_.kick();
}

}  // namespace perilune::detail
