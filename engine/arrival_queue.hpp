// What arrives from outside the runtime and waits to be taken, first in, first out, and who waits for it. Every arrival goes
// to one receiver. While it is open the reactor is polled even when the run queue never empties. Owned by its resource;
// the worker's thread only.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "external_queue.hpp"

namespace perilune::detail {

template <class T>
class arrival_queue {
 public:
  explicit arrival_queue(worker& home) : home_(home) { home_.background_begins(); }
  arrival_queue(const arrival_queue&) = delete;
  arrival_queue& operator=(const arrival_queue&) = delete;
  ~arrival_queue() { end(); }

  bool attempt() noexcept {
    if (!closed_ && (!receivers_.empty() || arrived_.size() <= granted_)) return false;
    ++granted_;
    return true;
  }
  // Nothing when it was closed and all has been taken.
  std::optional<T> take() {
    --granted_;
    if (arrived_.empty()) return std::nullopt;
    std::optional<T> first(std::move(arrived_.front()));
    arrived_.pop_front();
    return first;
  }
  void give_back() noexcept {
    --granted_;
    offer();
  }
  void arm(waiter& by) noexcept { receivers_.arm(by); }
  void disarm(waiter& by) noexcept { receivers_.disarm(by); }

  std::size_t size() const noexcept { return arrived_.size(); }
  const T* newest() const noexcept { return arrived_.size() > granted_ ? &arrived_.back() : nullptr; }
  bool closed() const noexcept { return closed_; }
  bool awaited() const noexcept { return !receivers_.empty(); }
  void push(T one) {
    arrived_.push_back(std::move(one));
    offer();
  }
  // Nothing arrives any more; what has arrived can still be taken.
  void end() noexcept {
    if (std::exchange(closed_, true)) return;
    home_.background_ends();
    while (!receivers_.empty()) grant();
  }
  // As end, and what nobody is on the way to take is dropped.
  void close() noexcept {
    while (arrived_.size() > granted_) arrived_.pop_back();
    end();
  }

 private:
  void offer() noexcept {
    while (!receivers_.empty() && arrived_.size() > granted_) grant();
  }
  void grant() noexcept {
    ++granted_;
    receivers_.grant_front();
  }

  worker& home_;
  std::deque<T> arrived_;
  external_queue receivers_;
  std::size_t granted_ = 0;  // receivers on their way to take what arrived first, or to see the end
  bool closed_ = false;
};

}  // namespace perilune::detail
