// The part of a worker that may outlive it: its inbox, and who must be told that something has come in. Shared by the
// worker and by everybody who may post to it later, so that posting to a worker that is gone is refused, never an error.
//
// Any thread posts. Attending, draining and closing are for the thread that drives the worker.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "inbox.hpp"

namespace perilune::detail {

class reactor;

class doorway {
 public:
  // `notify` tells the host of a worker that nobody drives.
  doorway(reactor& bell, std::function<void()> notify) : reactor_(&bell), notify_(std::move(notify)) {}
  doorway(const doorway&) = delete;
  doorway& operator=(const doorway&) = delete;

  // False when the worker has shut down; the message is then destroyed on the calling thread.
  bool post(std::unique_ptr<inbox_message> message) noexcept;
  // As post; the message stays the caller's.
  bool push(inbox_message& message) noexcept;
  // As push, for signal handlers. Requires that the reactor's bell is open.
  bool post_from_signal(inbox_message& message) noexcept;
  // Makes sure that the worker looks, though nothing was posted.
  void tell() noexcept;

  bool empty() const noexcept { return inbox_.empty(); }
  // Somebody drives the worker, and does not sleep. A guess, unless the caller is who drives.
  bool attended() const noexcept { return attention_.load(std::memory_order_relaxed) == attention::busy; }
  std::size_t drain() { return inbox_.drain(); }
  // Somebody drives the worker and will look into the inbox.
  void attend() noexcept { attention_.exchange(attention::busy, std::memory_order_acq_rel); }
  // Whoever drives is about to wait in the reactor. False when something came in meanwhile.
  bool wait() noexcept { return leave(attention::waiting); }
  // Nobody drives any more. False when something came in meanwhile.
  bool depart() noexcept { return leave(attention::absent); }
  // Refuses posts from now on.
  void close() noexcept;

 private:
  enum class attention : unsigned char { busy, waiting, absent };
  bool leave(attention how) noexcept;

  alignas(64) inbox inbox_;  // what other threads look at all the time is apart from what they do not
  std::atomic<attention> attention_{attention::absent};
  std::mutex mutex_;  // keeps the reactor alive while it is woken
  reactor* reactor_;
  std::function<void()> notify_;
};

}  // namespace perilune::detail
