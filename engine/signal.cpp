// Listeners over asio's signal sets, and the dispositions they displace. See signal.hpp.
#include <perilune/signal.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <mutex>
#include <string>

#include <signal.h>
#include <string.h>
#include <asio/signal_set.hpp>

#include "arrival_queue.hpp"
#include "reactor.hpp"

namespace perilune {

namespace detail {

namespace {

constexpr std::size_t longest_queue = 1024;  // arrivals nobody has taken; later ones are dropped

// What signals did before the first listener came. One for the process.
class dispositions {
 public:
  static dispositions& of_process() {
    static dispositions all;
    return all;
  }
  // Before the listener's set knows the signal.
  void displace(int number) {
    const std::lock_guard lock(mutex_);
    entry& e = entries_[static_cast<std::size_t>(number)];
    if (e.listeners++ == 0) ::sigaction(number, nullptr, &e.before);
  }
  // After the set has forgotten it. A handler that the host has put in its place meanwhile stays.
  void restore(int number) noexcept {
    const std::lock_guard lock(mutex_);
    entry& e = entries_[static_cast<std::size_t>(number)];
    if (--e.listeners != 0) return;
    struct sigaction now;
    if (::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) ::sigaction(number, &e.before, nullptr);
  }

 private:
  struct entry {
    std::size_t listeners = 0;
    struct sigaction before;
  };
  std::mutex mutex_;
  std::array<entry, NSIG> entries_{};
};

bool can_be_waited_for(int number) noexcept {
  constexpr int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  return number > 0 && number < NSIG && std::find(std::begin(never), std::end(never), number) == std::end(never);
}

}  // namespace

class signal_queue final : public std::enable_shared_from_this<signal_queue> {
 public:
  explicit signal_queue(worker& home) : set_(home.io_reactor().executor()), arrived_(home) {}
  signal_queue(const signal_queue&) = delete;
  signal_queue& operator=(const signal_queue&) = delete;
  ~signal_queue() { close(); }

  int add(int number) {
    dispositions::of_process().displace(number);
    asio::error_code failed;
    static_cast<void>(set_.add(number, failed));
    if (failed)
      dispositions::of_process().restore(number);
    else
      numbers_.push_back(number);
    return failed.value();
  }

  void hear() {
    set_.async_wait([weak = weak_from_this()](const asio::error_code& stopped, int number) {
      auto self = weak.lock();
      if (stopped || !self || self->arrived_.closed()) return;
      if (self->arrived_.size() < longest_queue) self->arrived_.push(number);
      self->hear();
    });
  }

  arrival_queue<int>& arrived() noexcept { return arrived_; }

  void close() noexcept {
    if (arrived_.closed()) return;
    asio::error_code ignored;
    static_cast<void>(set_.clear(ignored));
    static_cast<void>(set_.cancel(ignored));
    for (const int number : numbers_) dispositions::of_process().restore(number);
    arrived_.close();
  }

 private:
  asio::signal_set set_;
  std::vector<int> numbers_;
  arrival_queue<int> arrived_;
};

}  // namespace detail

int signal_number(std::string_view name) noexcept {
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (int number = 1; number < NSIG; ++number)
    if (!name.empty() && signal_name(number) == name) return number;
  return 0;
}

std::string_view signal_name(int number) noexcept {
  const char* name = ::sigabbrev_np(number);
  return name ? name : std::string_view();
}

bool signal_operation::try_now(waiter&) noexcept { return queue_->arrived().attempt(); }
void signal_operation::arm(waiter& by) { queue_->arrived().arm(by); }
void signal_operation::disarm(waiter& by) noexcept { queue_->arrived().disarm(by); }

bool signal_operation::give_back(waiter&) noexcept {
  queue_->arrived().give_back();
  return true;
}

std::optional<int> signal_operation::take_result() { return queue_->arrived().take(); }

result<signal_listener> signal_listener::listen(const std::vector<int>& numbers) {
  const auto misuse = [](std::string text) {
    return error{error_kind::misuse, "listen: " + std::move(text), EINVAL, {}};
  };
  if (numbers.empty()) return misuse("no signal is named");
  for (const int number : numbers)
    if (!detail::can_be_waited_for(number)) return misuse("signal " + std::to_string(number) + " cannot be waited for");
  auto queue = std::make_shared<detail::signal_queue>(detail::worker::here());
  for (const int number : numbers)
    if (const int code = queue->add(number)) return error::system("listen to signal " + std::to_string(number), code);
  queue->hear();
  return signal_listener(std::move(queue));
}

void signal_listener::close() const noexcept { queue_->close(); }

}  // namespace perilune
