// The rules of a channel, without its values: who waits, who gets which value, in what order, and what closing means.
//
// The capacity is exact; 0 is a rendezvous. Senders and receivers are each served first in, first out, and nobody barges
// in: receivers wait only while nothing is buffered and no sender waits, senders only while the buffer is full. A value
// goes from a sender straight to a waiting receiver; if that receiver is cancelled before it resumes, the value returns
// to the head (which may hold the length above the capacity until it is taken), among several such values in the order in
// which they were sent. Values are stored and moved by Derived:
//   size_t stored()                       values in the buffer
//   void store(Source&)                   the running sender's value to the back of the buffer
//   void store_from(waiter& sender)       a waiting sender's value to the back of the buffer
//   void fetch(Sink&)                     the front of the buffer to the running receiver
//   void pass(Source&, waiter& receiver)  from the running sender to a waiting receiver
//   void fetch_from(waiter& sender, Sink&)
//   void refuse(waiter& sender)           tells a waiting sender that the channel is closed
//   void finish(waiter& receiver)         tells a waiting receiver that the channel has ended
//   void put_back(Source&, size_t place)  a value before the one at `place` from the head; only where take_back is used
// None of these may run user code or throw once anything has changed. Owned by its resource; one worker only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <perilune/scheduler.hpp>

namespace perilune {

// How an operation that does not wait went.
enum class channel_status : unsigned char { done, closed, full, empty };

// A channel at one moment.
struct channel_stats {
  // Values buffered now.
  std::size_t length;
  std::size_t capacity;  // channel_unbounded for no bound
  std::size_t peak;
  std::uint64_t sends;
  std::uint64_t recvs;
  std::size_t waiting_senders;
  std::size_t waiting_receivers;
};

// The capacity of a channel that takes any number of values.
inline constexpr std::size_t channel_unbounded = std::numeric_limits<std::size_t>::max();

template <class Derived>
class channel_core {
 public:
  // Values that it buffers: 0 for a rendezvous, channel_unbounded for any number.
  explicit channel_core(std::size_t capacity) noexcept : capacity_(capacity) {}
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  // How things stand.
  bool closed() const noexcept { return closed_; }
  std::size_t capacity() const noexcept { return capacity_; }

  // `tasks` grants: the scheduler, or for_outsiders.
  template <class Granter, class Source>
  [[gnu::always_inline]] channel_status try_send(Granter& tasks, Source& from) {
    if (closed_) [[unlikely]]
      return channel_status::closed;
    if (!receivers_.empty()) {
      waiter& receiver = receivers_.first();
      self().pass(from, receiver);
      receivers_.pop_front();
      receiver.deadline = ++sends_;
      tasks.grant(receiver);
      return channel_status::done;
    }
    if (self().stored() >= capacity_) return channel_status::full;
    self().store(from);
    ++sends_;
    note_length();
    return channel_status::done;
  }

  // The oldest value goes to `to`; where none is buffered, the first waiting sender's.
  template <class Granter, class Sink>
  [[gnu::always_inline]] channel_status try_recv(Granter& tasks, Sink& to) {
    if (self().stored()) {
      self().fetch(to);
      if (!returned_.empty()) [[unlikely]]
        returned_.erase(returned_.begin());
      if (!senders_.empty()) refill(tasks);
      return channel_status::done;
    }
    if (!senders_.empty()) {
      waiter& sender = senders_.first();
      self().fetch_from(sender, to);
      senders_.pop_front();
      ++sends_;
      tasks.grant(sender);
      return channel_status::done;
    }
    return closed_ ? channel_status::closed : channel_status::empty;
  }

  // Whether try_recv would say anything but `empty`.
  bool receivable() const noexcept { return self().stored() != 0 || !senders_.empty() || closed_; }

  // Queue a waiter, or take it out of the queue.
  void arm_sender(waiter& by) noexcept { senders_.push_back(by); }
  void arm_receiver(waiter& by) noexcept { receivers_.push_back(by); }
  void disarm_sender(waiter& by) noexcept { senders_.erase(by); }
  void disarm_receiver(waiter& by) noexcept { receivers_.erase(by); }

  // Takes back the value of a receiver that was cancelled before it resumed: to the next receiver in line, or to its
  // place at the head of the buffer.
  template <class Granter, class Source>
  void take_back(Granter& tasks, const waiter& from, Source& value) {
    if (waiter* next = take_receiver()) {
      self().pass(value, *next);
      next->deadline = from.deadline;
      tasks.grant(*next);
    } else {
      self().put_back(value, place_of_return(from));
      note_length();
    }
  }
  // The parts of take_back: the next receiver in line, or nullptr, and how far from the head the value belongs.
  waiter* take_receiver() noexcept { return receivers_.pop_front(); }
  std::size_t place_of_return(const waiter& from) {
    const auto at = std::lower_bound(returned_.begin(), returned_.end(), from.deadline);
    const auto place = static_cast<std::size_t>(at - returned_.begin());
    returned_.insert(at, from.deadline);
    return place;
  }

  // Idempotent. Waiting senders are refused, waiting receivers see the end; buffered values stay to be received.
  template <class Granter>
  void close(Granter& tasks) noexcept {
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

  // All counts at this moment. Walks the queues of waiters.
  channel_stats stats() const noexcept {
    const std::size_t length = self().stored();
    return {length, capacity_, peak_, sends_, sends_ - length, senders_.count(), receivers_.count()};
  }

 protected:
  ~channel_core() = default;
  void note_length() noexcept {
    if (self().stored() > peak_) peak_ = self().stored();
  }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  const Derived& self() const noexcept { return static_cast<const Derived&>(*this); }

  template <class Granter>
  void refill(Granter& tasks) {
    if (self().stored() >= capacity_) return;
    waiter& sender = senders_.first();
    self().store_from(sender);
    senders_.pop_front();
    ++sends_;
    tasks.grant(sender);
  }

  wait_queue senders_;
  wait_queue receivers_;
  std::size_t capacity_;
  std::uint64_t sends_ = 0;  // values accepted; those no longer stored have been received
  std::size_t peak_ = 0;
  bool closed_ = false;
  std::vector<std::uint64_t> returned_;  // what `sends_` was for each value at the head that was given back
};

}  // namespace perilune
