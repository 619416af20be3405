// broadcast<T>: every value to every receiver that was subscribed when it was sent. Sending never waits: a receiver that is
// more than `capacity` values behind loses the oldest ones, and is told how many, exactly, before it goes on with the rest.
// A value is kept until the last receiver has it, and dropped then.
//
// A broadcast and its receivers are handles to shared state: copies mean the same one. broadcast_core and
// broadcast_subscription have the rules without the values. Belongs to one worker; between ticks the host's thread may use
// what does not wait.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <perilune/channel.hpp>
#include <perilune/ring.hpp>
#include <perilune/subscription.hpp>
#include <perilune/turn_operation.hpp>

namespace perilune {

// A broadcast at one moment.
struct broadcast_stats {
  std::size_t length;  // values that some receiver has not got yet
  std::size_t capacity;
  std::uint64_t sends;  // also those nobody was subscribed for
  std::size_t subscribers;
  std::size_t waiting_receivers;
  bool closed;
};

// One receiver at one moment.
struct broadcast_receiver_stats {
  std::size_t length;  // values it can still receive
  std::uint64_t recvs;
  std::uint64_t lagged;  // values it has been told it lost
  std::size_t waiting_receivers;
  bool closed;
};

// Values have positions, in the order in which they were sent. Those held are front ... front + held - 1; the storage
// keeps them in the same order, drops from its front what it is told to, and stores behind its back.
class broadcast_core {
 public:
  // Requires capacity > 0.
  explicit broadcast_core(std::size_t capacity) noexcept : capacity_(capacity) {}
  broadcast_core(const broadcast_core&) = delete;
  broadcast_core& operator=(const broadcast_core&) = delete;

  // How things stand: values held are those that some receiver has not got yet.
  bool closed() const noexcept { return closed_; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t held() const noexcept { return left_.size(); }
  std::size_t subscribers() const noexcept { return subscriptions_.count(); }
  bool full() const noexcept { return held() == capacity_; }

  // Nobody is subscribed: a value sent now is for nobody.
  void sent_to_nobody() noexcept { ++sends_; }
  // Sending is: reserve; drop_oldest when full; store; sent. Only the first can throw.
  void reserve() { left_.make_room(); }
  void drop_oldest() noexcept {
    left_.drop_front();
    ++front_;
  }
  void sent() noexcept {
    ++sends_;
    left_.push_back(static_cast<std::uint32_t>(subscriptions_.count()));
    subscriptions_.offer_all();
  }
  // Receivers get what they have not got yet, then the end. Idempotent.
  void close() noexcept {
    closed_ = true;
    subscriptions_.offer_all();
  }
  // Closes, and forgets what it holds: no receiver is left.
  void end() noexcept {
    close();
    left_.clear();
  }
  broadcast_stats stats() const noexcept {
    return {held(), capacity_, sends_, subscriptions_.count(), subscriptions_.waiting(), closed_};
  }

 protected:
  ~broadcast_core() = default;

 private:
  friend class broadcast_subscription;
  std::uint64_t back() const noexcept { return front_ + held(); }
  std::size_t drop_unneeded() noexcept;

  subscriptions subscriptions_;
  detail::ring<std::uint32_t> left_;  // how many receivers have not got the value at each position; ascending
  std::uint64_t front_ = 0;
  std::uint64_t sends_ = 0;
  std::size_t capacity_;
  bool closed_ = false;
};

// A receiver's place in a core: which value it gets next. Owned by the receiver; the core outlives it.
class broadcast_subscription final : public subscription {
 public:
  // Begins with the next value that is sent.
  explicit broadcast_subscription(broadcast_core& of) noexcept
      : subscription(of.subscriptions_), of_(of), next_(of.back()) {}

  // What the turn of a receiver brings: a lag, else a value, else the end.
  std::uint64_t lag() const noexcept { return left() || next_ >= of_.front_ ? 0 : of_.front_ - next_; }
  bool at_end() const noexcept { return left() || next_ == of_.back(); }
  // Of the value, counted from the front of the storage. Requires no lag and not the end.
  std::size_t place() const noexcept { return static_cast<std::size_t>(next_ - of_.front_); }
  // Nobody else has still to get that value.
  bool last_reader() const noexcept { return of_.left_[place()] == 1; }

  // Use the turn in one of the three ways. pass() returns how many values the storage is to drop from its front.
  void skip_lag() noexcept {
    lagged_ += lag();
    next_ = of_.front_;
    accepted();
  }
  [[nodiscard]] std::size_t pass() noexcept;
  void see_end() noexcept { accepted(); }

  // As subscription::leave; returns how many values the storage is to drop from its front.
  [[nodiscard]] std::size_t leave() noexcept;
  broadcast_receiver_stats stats() const noexcept {
    return {unread(), recvs_, lagged_, waiting(), of_.closed_ || left()};
  }
  wait_description describe() const noexcept override { return {"recv", "broadcast", &of_}; }

 private:
  std::size_t unread() const noexcept {
    return left() ? 0 : static_cast<std::size_t>(of_.back() - std::max(next_, of_.front_));
  }
  std::size_t available() const noexcept override {
    if (left()) return unlimited;
    const std::size_t count = unread() + (lag() ? 1 : 0);
    return count == 0 && of_.closed_ ? unlimited : count;
  }

  broadcast_core& of_;
  std::uint64_t next_;
  std::uint64_t recvs_ = 0;
  std::uint64_t lagged_ = 0;
};

// What became of a send: how many receivers it is for, or the value back because the broadcast is closed.
template <class T>
struct broadcast_result {
  std::size_t subscribers = 0;
  std::optional<T> value;  // the value, where it was not sent
  explicit operator bool() const noexcept { return !value; }
};

// What a receiver got: a value, or how many it has lost, or neither at the end.
template <class T>
struct broadcast_value {
  std::optional<T> value;
  std::uint64_t lagged = 0;
  explicit operator bool() const noexcept { return value.has_value(); }
};

namespace detail {

template <class T>
class broadcast_state final : public broadcast_core, public counted {
 public:
  using broadcast_core::broadcast_core;
  scheduler& use_here() { return home_.use_here(); }
  void check_outsider() const { home_.check_outsider(); }

  void store(T&& value) {
    reserve();
    values_.make_room();
    if (full()) {
      drop_oldest();
      drop(1);
    }
    values_.push_back(std::move(value));
    sent();
  }
  void drop(std::size_t count) noexcept {
    for (; count; --count) {
      [[maybe_unused]] const T gone(std::move(values_.front()));
      values_.drop_front();
    }
  }
  T& at(std::size_t place) noexcept { return values_[place]; }

 private:
  home_worker home_{"broadcast"};
  ring<T> values_;
};

template <class T>
class broadcast_receiver_state final : public counted {
 public:
  explicit broadcast_receiver_state(local_ptr<broadcast_state<T>> from) noexcept : of(std::move(from)), place(*of) {}
  ~broadcast_receiver_state() { leave(); }
  scheduler& use_here() { return of->use_here(); }
  void leave() noexcept { of->drop(place.leave()); }

  // A copy that throws is that receiver's own matter: its turn is used all the same.
  broadcast_value<T> take() {
    if (const std::uint64_t lag = place.lag()) return place.skip_lag(), broadcast_value<T>{std::nullopt, lag};
    if (place.at_end()) return place.see_end(), broadcast_value<T>{};
    const struct passing {
      broadcast_receiver_state& self;
      ~passing() { self.of->drop(self.place.pass()); }
    } used{*this};
    T& value = of->at(place.place());
    if (place.last_reader()) return {std::move(value), 0};
    return {std::as_const(value), 0};
  }

  local_ptr<broadcast_state<T>> of;
  broadcast_subscription place;
};

template <class T>
struct broadcast_turn {
  using type = broadcast_receiver_state<T>;
  static turns& at(type& of) noexcept { return of.place; }
  static broadcast_value<T> take(type& of) { return of.take(); }
};

// Throws kind misuse.
[[noreturn]] void refuse_capacity_of_broadcast();

}  // namespace detail

// One of the receiving ends: gets every value that is sent from its subscription on. Copies are the same receiver; of one worker.
template <class T>
class broadcast_receiver {
 public:
  explicit broadcast_receiver(const detail::local_ptr<detail::broadcast_state<T>>& of)
      : state_(new detail::broadcast_receiver_state<T>(of)) {}

  // Waits for the next value. Yields broadcast_value<T>.
  auto recv_op() const { return turn_operation<detail::broadcast_turn<T>>(state_); }
  auto recv() const { return recv_op().operator co_await(); }
  // No longer subscribed: what it has not received is dropped, who waits sees the end. Idempotent.
  void close() const {
    state_->of->check_outsider();
    state_->leave();
  }
  broadcast_receiver_stats stats() const noexcept { return state_->place.stats(); }

 private:
  detail::local_ptr<detail::broadcast_receiver_state<T>> state_;
};

template <class T>
class broadcast {
 public:
  // Kind misuse for a capacity of 0.
  explicit broadcast(std::size_t capacity) : state_(new detail::broadcast_state<T>(capacity)) {
    if (capacity == 0) detail::refuse_capacity_of_broadcast();
  }

  // Never waits. How many are subscribed, or the value back where the broadcast is closed.
  broadcast_result<T> send(T value) const {
    state_->check_outsider();
    if (state_->closed()) return {0, std::move(value)};
    if (state_->subscribers() == 0) return state_->sent_to_nobody(), broadcast_result<T>{};
    state_->store(std::move(value));
    return {state_->subscribers(), std::nullopt};
  }
  // A receiver of what is sent from now on.
  broadcast_receiver<T> subscribe() const {
    state_->check_outsider();
    return broadcast_receiver<T>(state_);
  }
  // Receivers get what they have not got yet, and see the end then. Idempotent.
  void close() const {
    state_->check_outsider();
    state_->close();
  }
  // How things stand.
  bool closed() const noexcept { return state_->closed(); }
  broadcast_stats stats() const noexcept { return state_->stats(); }

 private:
  detail::local_ptr<detail::broadcast_state<T>> state_;
};

}  // namespace perilune
