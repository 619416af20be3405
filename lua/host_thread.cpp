// The thread of a host. See <perilune/host_thread.hpp>.
#include <perilune/host_thread.hpp>

#include <condition_variable>
#include <mutex>

#include <poll.h>
#include <time.h>

namespace perilune {

struct host_thread::shared {
  std::mutex mutex;  // guards what follows
  std::condition_variable made;
  host* running = nullptr;  // while the host can be posted to
  bool ready = false;
  std::string invalid;
  std::atomic<bool> stopping{false};
};

namespace {

void wait_for(int fd, std::optional<duration> limit) noexcept {
  pollfd ready{fd, POLLIN, 0};
  timespec time{};
  if (limit)
    time = {static_cast<time_t>(limit->count() / 1'000'000'000), static_cast<long>(limit->count() % 1'000'000'000)};
  ::ppoll(&ready, 1, limit ? &time : nullptr, nullptr);
}

}  // namespace

host_thread::host_thread(std::function<void(host&)> setup, host_options options) : shared_(std::make_shared<shared>()) {
  thread_ = std::thread([self = shared_, setup = std::move(setup), options = std::move(options)]() mutable {
    host h(std::move(options));
    const auto fd = h.poll_fd();
    {
      const std::lock_guard lock(self->mutex);
      self->invalid = h.invalid();
      if (self->invalid.empty() && !fd) self->invalid = fd.error().message;
      self->running = self->invalid.empty() ? &h : nullptr;
      self->ready = true;
    }
    self->made.notify_all();
    if (!self->running) return;
    if (setup) setup(h);
    while (!self->stopping) {
      h.tick();
      if (!self->stopping) wait_for(*fd, h.next_deadline());
    }
    const std::lock_guard lock(self->mutex);
    self->running = nullptr;
  });
  std::unique_lock lock(shared_->mutex);
  shared_->made.wait(lock, [this] { return shared_->ready; });
}

host_thread::~host_thread() { stop(); }

bool host_thread::post(std::function<void(host&)> fn) {
  const std::lock_guard lock(shared_->mutex);
  host* const h = shared_->running;
  return h && h->post([h, fn = std::move(fn)] { fn(*h); });
}

void host_thread::stop() {
  shared_->stopping = true;
  post([](host&) {});
  if (thread_.joinable()) thread_.join();
}

std::string host_thread::invalid() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->invalid;
}

}  // namespace perilune
