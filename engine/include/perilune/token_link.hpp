// What one token is that several workers have: each has a token_state of its own, and the cancellation of one reaches the
// others, at once where they ask, by a message where somebody waits. Any thread; a member is touched on its worker's alone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <perilune/cancel.hpp>
#include <perilune/worker_door.hpp>

namespace perilune {

class scheduler;
class token_state;

class token_link : public std::enable_shared_from_this<token_link> {
 public:
  // Whether one of its tokens was cancelled. Any thread.
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

  // The following are for the worker of `home`, on its thread.
  // The state that this worker has, with one more use of it, the caller's. `told`: messages reach the worker.
  token_state& at(scheduler& home, bool told);
  // A state that exists already is the worker's.
  void join(token_state& state, scheduler& home, bool told);
  void leave(const token_state& state) noexcept;
  // The state was cancelled.
  void spread(const cancel_reason& why) noexcept;
  // What it was cancelled for. Requires cancelled().
  reason_ptr reason_here() const;

 private:
  struct member {
    const scheduler* home;
    token_state* state;
    detail::worker_door door;
  };
  void reach(const scheduler* home);

  mutable std::mutex mutex_;
  std::vector<member> members_;
  cancel_reason why_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace perilune
