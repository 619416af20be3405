// The door into a worker for other threads: a lock-free list of messages, delivered on the worker's thread in the order
// in which they were posted. Any thread may post; only the worker drains and closes.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include <perilune/inbox_message.hpp>

namespace perilune::detail {

class inbox {
 public:
  inbox() noexcept = default;
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;
  ~inbox() { close(); }

  // False when the inbox is closed, and the message stays with the caller. Async-signal-safe.
  bool push(inbox_message& message) noexcept {
    inbox_message* head = nullptr;  // most likely
    do {
      if (head == closed_mark()) return false;
      message.next_ = head;
    } while (!head_.compare_exchange_weak(head, &message, std::memory_order_seq_cst, std::memory_order_acquire));
    return true;
  }

  bool empty(std::memory_order order = std::memory_order_relaxed) const noexcept {
    return head_.load(order) == nullptr;
  }

  // Delivers everything posted so far. Returns how many messages there were.
  std::size_t drain() {
    inbox_message* list = head_.load(std::memory_order_relaxed);
    if (!list || list == closed_mark()) return 0;
    list = in_order(head_.exchange(nullptr, std::memory_order_acquire));
    std::size_t count = 0;
    for (; list; ++count) {
      const std::unique_ptr<inbox_message, disposer> message(std::exchange(list, list->next_));
      message->deliver();
    }
    return count;
  }

  // Refuses messages from now on and destroys those not delivered.
  void close() noexcept {
    inbox_message* list = head_.exchange(closed_mark(), std::memory_order_acq_rel);
    if (list == closed_mark()) return;
    while (list) std::exchange(list, list->next_)->dispose();
  }

 private:
  struct disposer {
    void operator()(inbox_message* message) const noexcept { message->dispose(); }
  };
  inbox_message* closed_mark() const noexcept { return reinterpret_cast<inbox_message*>(const_cast<inbox*>(this)); }
  static inbox_message* in_order(inbox_message* newest) noexcept {
    inbox_message* oldest = nullptr;
    while (newest) {
      inbox_message* older = newest->next_;
      newest->next_ = oldest;
      oldest = newest;
      newest = older;
    }
    return oldest;
  }

  std::atomic<inbox_message*> head_{nullptr};
};

}  // namespace perilune::detail
