// shared_event: something that happens once, and that tasks of all workers can wait for. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include <perilune/shared_wait.hpp>

namespace perilune {

class shared_event final : public shared_resource {
 public:
  // Idempotent. Whoever waits goes on; what the thread has written before is seen by them.
  void happen() {
    const access guard(*this);
    happened_.store(true, std::memory_order_release);
    serve();
  }
  bool happened() const noexcept { return happened_.load(std::memory_order_acquire); }

 private:
  void enter(shared_place& place) override {
    waiting_.push_back(place);
    if (happened()) serve();
  }
  void leave(shared_place& place) override {
    if (place.now == shared_place::state::queued) waiting_.erase(place);
    place.now = shared_place::state::idle;
  }
  void serve() {
    while (!waiting_.empty()) waiting_.settle_first(shared_place::state::served);
  }

  std::atomic<bool> happened_{false};
  shared_queue waiting_;
};

// Waits for it. `shown` is what diagnostics say.
class event_wait : public shared_wait {
 public:
  event_wait(std::shared_ptr<shared_event> event, const wait_description& shown)
      : event_(std::move(event)), shown_(shown) {}

  bool try_now(waiter&) noexcept { return event_->happened(); }
  bool try_commit(waiter&) override { return event_->happened(); }
  // It has happened all the same.
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return shown_; }

 protected:
  event_wait(event_wait&&) noexcept = default;
  event_wait& operator=(event_wait&&) noexcept = default;
  ~event_wait() = default;

  std::shared_ptr<shared_event> event_;

 private:
  std::shared_ptr<shared_place> make_place() override { return std::make_shared<shared_place>(event_); }

  wait_description shown_;
};

}  // namespace perilune
