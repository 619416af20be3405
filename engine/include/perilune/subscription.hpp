// A subscription to a resource that tells many: a place of its own in what is told, and the turns of those who wait there.
// The resource keeps count of its subscriptions and knows those that somebody waits at, so that telling costs nothing for
// the others. Owned by the subscriber; the resource outlives it. One worker only.
#pragma once

#include <utility>

#include <perilune/linked_queue.hpp>
#include <perilune/turns.hpp>

namespace perilune {

class subscriptions;

class subscription : public turns, public list_node {
 public:
  // No longer counted and told. Who waits sees the end, and so does whoever asks later. Idempotent.
  void leave() noexcept;
  bool left() const noexcept { return of_ == nullptr; }

  void arm(waiter& by) override;

 protected:
  inline explicit subscription(subscriptions& of) noexcept;
  ~subscription() { leave(); }

 private:
  subscriptions* of_;
};

// All that is subscribed to one thing. Part of it; of one worker.
class subscriptions {
 public:
  subscriptions() noexcept = default;
  subscriptions(const subscriptions&) = delete;
  subscriptions& operator=(const subscriptions&) = delete;

  // There may be turns now at every subscription.
  void offer_all() noexcept;
  std::size_t count() const noexcept { return count_; }
  // Waiters at all of them.
  std::size_t waiting() const noexcept;

 private:
  friend class subscription;
  linked_queue<subscription> awaited_;  // those with waiters, and some that had
  std::size_t count_ = 0;
};

subscription::subscription(subscriptions& of) noexcept : of_(&of) { ++of.count_; }

}  // namespace perilune
