// The part of a worker that waits for the operating system: an asio context of its own, or one of the host's that it has
// joined. Owned by its worker; wake() may be called by any thread, everything else by the worker's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include <asio/any_io_executor.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

namespace perilune::detail {

class reactor {
 public:
  reactor() : own_(std::make_unique<asio::io_context>(1)), executor_(own_->get_executor()), timer_(*own_) {}
  // Joined: `drive` runs on the host's executor whenever there is something to do.
  reactor(asio::any_io_executor host, std::function<void()> drive)
      : executor_(std::move(host)), timer_(executor_), drive_(std::move(drive)) {}
  ~reactor() { *alive_ = false; }

  bool joined() const noexcept { return own_ == nullptr; }
  const asio::any_io_executor& executor() const noexcept { return executor_; }

  // Expires with the reactor: for completions in a host's context that may come later.
  std::weak_ptr<void> lifetime() const noexcept { return alive_; }

  // Runs completions that are ready, without waiting.
  void poll() {
    if (!own_) return;
    own_->restart();
    if (polled_from_outside_) return poll_all();
    own_->poll();
  }
  // Waits for a completion, for wake(), or for the deadline (nanoseconds of the steady clock).
  void wait(std::optional<std::uint64_t> deadline_ns);
  // Ends a wait, or in joined mode schedules a drive. Any thread.
  void wake();
  // As wake, for signal handlers. Requires open_bell() before. A joined context then has work for ever.
  void ring() noexcept;
  void open_bell();
  // The descriptor that is readable while completions wait to be polled. Not joined.
  int descriptor() noexcept;
  // Joined: drive again at the deadline.
  void drive_at(std::uint64_t deadline_ns);
  // Joined: never drive again.
  void abandon() noexcept { *alive_ = false; }

 private:
  void hear_bell();
  void poll_all();

  std::unique_ptr<asio::io_context> own_;
  bool polled_from_outside_ = false;
  asio::any_io_executor executor_;
  asio::steady_timer timer_;
  std::function<void()> drive_;
  std::optional<asio::posix::stream_descriptor> bell_;  // an eventfd
  int bell_fd_ = -1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace perilune::detail
