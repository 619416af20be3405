// The rules of a channel, without its values: who waits, who gets which value, in what order, and what closing means.
//
// The capacity is exact; 0 is a rendezvous. Senders and receivers are each served first in, first out, and nobody barges
// in: receivers wait only while nothing is buffered and no sender waits, senders only while the buffer is full. A value
// goes from a sender straight to a waiting receiver; if that receiver is cancelled before it resumes, the value returns
// to the head (which may hold the length above the capacity until it is taken). Values are stored and moved by Derived:
//   size_t stored()                       values in the buffer
//   void store(Source&)                   the running sender's value to the back of the buffer
//   void store_from(waiter& sender)       a waiting sender's value to the back of the buffer
//   void fetch(Sink&)                     the front of the buffer to the running receiver
//   void pass(Source&, waiter& receiver)  from the running sender to a waiting receiver
//   void fetch_from(waiter& sender, Sink&)
//   void refuse(waiter& sender)           tells a waiting sender that the channel is closed
//   void finish(waiter& receiver)         tells a waiting receiver that the channel has ended
// None of these may run user code. Owned by its resource; one worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <perilune/scheduler.hpp>

namespace perilune {

enum class channel_status : unsigned char { done, closed, full, empty };

struct channel_stats {
  std::size_t length;
  std::size_t capacity;  // channel_unbounded for no bound
  std::size_t peak;
  std::uint64_t sends;
  std::uint64_t recvs;
  std::size_t waiting_senders;
  std::size_t waiting_receivers;
};

inline constexpr std::size_t channel_unbounded = std::numeric_limits<std::size_t>::max();

template <class Derived>
class channel_core {
 public:
  explicit channel_core(std::size_t capacity) noexcept : capacity_(capacity) {}
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  bool closed() const noexcept { return closed_; }
  std::size_t capacity() const noexcept { return capacity_; }

  template <class Source>
  channel_status try_send(scheduler& tasks, Source& from) {
    if (closed_) [[unlikely]]
      return channel_status::closed;
    if (waiter* receiver = receivers_.front()) {
      self().pass(from, *receiver);
      receivers_.erase(*receiver);
      ++sends_;
      tasks.grant(*receiver);
      return channel_status::done;
    }
    if (self().stored() >= capacity_) return channel_status::full;
    self().store(from);
    ++sends_;
    note_length();
    return channel_status::done;
  }

  template <class Sink>
  channel_status try_recv(scheduler& tasks, Sink& to) {
    if (self().stored()) {
      self().fetch(to);
      ++recvs_;
      refill(tasks);
      return channel_status::done;
    }
    if (waiter* sender = senders_.pop_front()) {
      self().fetch_from(*sender, to);
      ++sends_;
      ++recvs_;
      tasks.grant(*sender);
      return channel_status::done;
    }
    return closed_ ? channel_status::closed : channel_status::empty;
  }

  // Whether try_recv would say anything but `empty`.
  bool receivable() const noexcept { return self().stored() != 0 || !senders_.empty() || closed_; }

  void arm_sender(waiter& by) noexcept { senders_.push_back(by); }
  void arm_receiver(waiter& by) noexcept { receivers_.push_back(by); }
  void disarm_sender(waiter& by) noexcept { senders_.erase(by); }
  void disarm_receiver(waiter& by) noexcept { receivers_.erase(by); }

  // The next receiver in line, for a value that was given back; nullptr when none waits.
  waiter* take_receiver() noexcept { return receivers_.pop_front(); }

  // Idempotent. Waiting senders are refused, waiting receivers see the end; buffered values stay to be received.
  void close(scheduler& tasks) noexcept {
    if (closed_) return;
    closed_ = true;
    while (waiter* sender = senders_.pop_front()) {
      self().refuse(*sender);
      tasks.grant(*sender);
    }
    while (waiter* receiver = receivers_.pop_front()) {
      self().finish(*receiver);
      tasks.grant(*receiver);
    }
  }

  channel_stats stats() const noexcept {
    return {self().stored(), capacity_, peak_, sends_, recvs_, senders_.count(), receivers_.count()};
  }

 protected:
  ~channel_core() = default;
  void note_length() noexcept {
    if (self().stored() > peak_) peak_ = self().stored();
  }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  const Derived& self() const noexcept { return static_cast<const Derived&>(*this); }

  void refill(scheduler& tasks) {
    if (senders_.empty() || self().stored() >= capacity_) return;
    waiter* sender = senders_.pop_front();
    self().store_from(*sender);
    ++sends_;
    tasks.grant(*sender);
  }

  wait_queue senders_;
  wait_queue receivers_;
  std::size_t capacity_;
  std::size_t peak_ = 0;
  std::uint64_t sends_ = 0;
  std::uint64_t recvs_ = 0;
  bool closed_ = false;
};

}  // namespace perilune
