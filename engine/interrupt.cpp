// Requests from signal handlers. See interrupt.hpp.
#include <perilune/interrupt.hpp>

#include <atomic>
#include <utility>

#include "inbox.hpp"
#include "reactor.hpp"
#include "worker.hpp"

namespace perilune {

// The message that raise() posts. It is posted again and again, so the inbox must not destroy it.
class interrupt::request final : public detail::inbox_message {
 public:
  request(detail::worker& home, std::function<void()> fn) : home_(home), fn_(std::move(fn)) {}

  void raise() noexcept {
    if (!posted_.exchange(true)) home_.post_from_signal(*this);
  }
  void deliver() override {
    posted_.store(false);
    if (!abandoned_) fn_();
  }
  void dispose() noexcept override {
    if (abandoned_) delete this;
  }
  // Nobody raises it any more: it goes when it is not in the inbox.
  void abandon() noexcept {
    abandoned_ = true;
    if (!posted_.load()) delete this;
  }

 private:
  detail::worker& home_;
  std::function<void()> fn_;
  std::atomic<bool> posted_{false};
  bool abandoned_ = false;
};

interrupt::interrupt(runtime& rt, std::function<void()> fn) : request_(new request(rt.worker(0), std::move(fn))) {
  rt.worker(0).io_reactor().open_bell();
}

interrupt::~interrupt() { request_->abandon(); }

void interrupt::raise() noexcept { request_->raise(); }

}  // namespace perilune
