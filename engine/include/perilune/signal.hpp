// Signals of the operating system as something to wait for.
//
// While any listener of the process listens to a signal, the signal has no other effect; when the last one is closed, it
// has again the one it had before the first. Every listener open when a signal arrives gets it, once for each arrival
// that the system reports; what arrived before is not delivered. A listener belongs to the worker where it was opened
// and closes with its last handle. Listeners of several workers and runtimes share nothing but the signal.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <perilune/error.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {
class signal_queue;
}

// The number of "INT" or "SIGINT", 0 for a name this system does not know.
int signal_number(std::string_view name) noexcept;
// "INT", or an empty view for a number this system has no name for.
std::string_view signal_name(int number) noexcept;

// Waits for the next signal. May be used again, and by several waiters, each of whom gets a different arrival.
class signal_operation final : public operation {
 public:
  explicit signal_operation(std::shared_ptr<detail::signal_queue> from) noexcept : queue_(std::move(from)) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override;
  wait_description describe() const noexcept override { return {"recv", "signal listener", queue_.get()}; }
  // The signal's number; nothing when the listener was closed.
  std::optional<int> take_result();

  auto operator co_await() && { return detail::awaiter<signal_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::signal_queue> queue_;
};

// Receives some of the process's signals, in the order in which they come. Of one worker.
class signal_listener {
 public:
  // Only on a worker. Kind misuse for no signal, an unknown one, or one that cannot be waited for (KILL, STOP, SEGV...).
  static result<signal_listener> listen(const std::vector<int>& numbers);

  // Waits for the next of its signals; nothing when it is closed.
  signal_operation recv() const noexcept { return signal_operation(queue_); }
  // Waiting receivers see the end. Idempotent.
  void close() const noexcept;

 private:
  explicit signal_listener(std::shared_ptr<detail::signal_queue> queue) noexcept : queue_(std::move(queue)) {}
  std::shared_ptr<detail::signal_queue> queue_;
};

}  // namespace perilune
