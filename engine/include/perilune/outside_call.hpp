// The wait for something that only code outside of the runtime can end: a completion of the host's, from whatever thread.
//
// Made on the worker of the task that is to wait, and shared with whoever is to end it. Of the two ways out, an end and
// giving up, whichever comes first holds. While one is pending the run is not stalled and a virtual clock stands still.
// claim, deliver and on_cancel are for any thread, also when the runtime is gone; the rest is the worker's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include <perilune/operation.hpp>

namespace perilune {

namespace detail {
class doorway;
class worker;
}  // namespace detail

class outside_call : public operation, public std::enable_shared_from_this<outside_call> {
 public:
  // Inside a task. `verb` is what diagnostics say the task waits for: static storage, or as long as the call.
  explicit outside_call(const char* verb);
  outside_call(const outside_call&) = delete;
  outside_call& operator=(const outside_call&) = delete;
  virtual ~outside_call();

  // True for the one caller that may end the call. It then puts the result in place and delivers.
  bool claim() noexcept;
  void deliver();
  // `fn` is called once if the task gives up: on its worker, or at once on this thread when it has already. It must not
  // drive the runtime.
  void on_cancel(std::function<void()> fn);
  bool given_up() const noexcept { return state_.load(std::memory_order_acquire) == state::given_up; }

  // The result is in place.
  bool arrived() const noexcept { return arrived_; }
  // Nobody waits for the end any more.
  void give_up() noexcept;

  bool try_commit(waiter&) override { return arrived_; }
  void arm(waiter& by) override { waiting_ = &by; }
  void disarm(waiter&) noexcept override { give_up(); }
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {verb_, "native call", this}; }

 protected:
  // The end that has arrived says only that the call was stopped for its task's cancellation: the task goes on as cancelled.
  virtual bool was_stopped() const noexcept { return false; }

 private:
  enum class state : unsigned char { pending, claimed, given_up };
  struct arrival;
  void arrive() noexcept;
  void end_work() noexcept;

  const char* verb_;
  detail::worker& home_;
  const std::shared_ptr<detail::doorway> door_;
  std::atomic<state> state_{state::pending};
  std::mutex mutex_;  // guards cancel_
  std::function<void()> cancel_;
  waiter* waiting_ = nullptr;  // the worker's, like what follows
  bool arrived_ = false;
  bool over_ = false;           // no longer counted as something outside
  std::shared_ptr<void> busy_;  // meanwhile the host's loop has work, where the worker has joined one
};

}  // namespace perilune
