// shared_channel<T>: as channel<T>, between tasks of all workers and threads that run none. Values move from one to the
// other; what they refer to has to allow that. A handle is copied and used on any thread.
//
// A waiting receiver, and a sender that waits for nothing else, is served at once, wherever that happens. A sender in a
// select is asked instead, and commits on its own worker, if the select still waits then: its other arms may win meanwhile.
// What a receiver was served and did not accept goes back to the front, in the order in which it was sent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/ring.hpp>
#include <perilune/shared_wait.hpp>

namespace perilune {

namespace detail {

template <class T>
class shared_channel_state final : public shared_resource {
 public:
  // A wait, as the operation that it arms; with a value, a sender's.
  class wait;

  explicit shared_channel_state(std::size_t capacity) noexcept : capacity_(capacity) {}

  // Takes the value only when it says done.
  channel_status try_send(T& value) {
    const access guard(*this);
    if (closed_) return channel_status::closed;
    if (!senders_.empty() || !has_room()) return channel_status::full;
    accept(std::move(value));
    settle();
    return channel_status::done;
  }
  // `wanted`: the first value is taken only if it is one of these. If not it stays, and the answer is full.
  channel_status try_recv(std::optional<T>& into, bool (*wanted)(const T&) noexcept = nullptr) {
    const access guard(*this);
    if (!receivers_.empty()) return channel_status::empty;
    if (values_.empty() && !senders_.empty() && !senders_.first().in_select) take_from_sender();
    if (values_.empty()) return closed_ ? channel_status::closed : channel_status::empty;
    if (wanted && !wanted(values_.front().value)) return channel_status::full;
    into.emplace(std::move(values_.front().value));
    values_.drop_front();
    ++recvs_;
    settle();
    return channel_status::done;
  }
  void close() {
    const access guard(*this);
    closed_ = true;
    settle();
  }
  bool closed() {
    const access guard(*this);
    return closed_;
  }
  std::size_t capacity() const noexcept { return capacity_; }
  channel_stats stats() {
    const access guard(*this);
    return {values_.size(), capacity_, peak_, sends_, recvs_, senders_.count(), receivers_.count()};
  }

 private:
  struct stored {
    std::uint64_t order;
    T value;
  };
  struct place final : shared_place {
    place(std::shared_ptr<shared_resource> of, bool for_sender, std::optional<T>&& with)
        : shared_place(std::move(of)), sends(for_sender), value(std::move(with)) {}
    const bool sends;
    std::uint64_t order = 0;
    std::optional<T> value;
  };
  static place& at(shared_place& p) noexcept { return static_cast<place&>(p); }

  void enter(shared_place& p) override {
    (at(p).sends ? senders_ : receivers_).push_back(p);
    settle();
  }
  void leave(shared_place& p) override {
    if (p.now == shared_place::state::queued) {
      (at(p).sends ? senders_ : receivers_).erase(p);
    } else if (p.now == shared_place::state::served && !at(p).sends) {
      --recvs_;
      put_back({at(p).order, *std::exchange(at(p).value, std::nullopt)});
    }
    p.now = shared_place::state::idle;
    settle();
  }
  // A sender in a select sends if its turn is still there. The two sides of one select do not meet.
  void called(shared_place& p) override {
    if (&senders_.first() != &p || !has_room()) return;
    if (values_.size() >= capacity_ && receivers_.first().task == p.task) return;
    take_from_sender();
    settle();
  }

  bool has_room() const noexcept { return !receivers_.empty() || values_.size() < capacity_; }
  void accept(T&& value) {
    if (values_.empty() && !receivers_.empty())
      serve_receiver({next_order_, std::move(value)});
    else
      values_.push_back({next_order_, std::move(value)});
    ++next_order_;
    ++sends_;
    if (receivers_.empty()) peak_ = std::max(peak_, values_.size());
  }
  void take_from_sender() {
    place& first = at(senders_.first());
    accept(*std::move(first.value));
    senders_.settle_first(shared_place::state::served);
  }
  void put_back(stored&& value) {
    std::size_t before = 0;
    while (before < values_.size() && values_[before].order < value.order) ++before;
    values_.insert(before, std::move(value));
  }
  void serve_receiver(stored&& with) {
    place& first = at(receivers_.first());
    first.order = with.order;
    first.value.emplace(std::move(with.value));
    ++recvs_;
    receivers_.settle_first(shared_place::state::served);
  }
  // Moves values on until nothing more can move.
  void settle() {
    for (;;) {
      if (!values_.empty() && !receivers_.empty()) {
        serve_receiver(std::move(values_.front()));
        values_.drop_front();
        continue;
      }
      if (senders_.empty() || !has_room()) break;
      if (senders_.first().in_select) {
        senders_.first().tell(senders_.first().shared_from_this());
        break;
      }
      take_from_sender();
    }
    if (!closed_) return;
    for (shared_queue* queue : {&senders_, &receivers_})
      while (!queue->empty()) queue->settle_first(shared_place::state::refused);
  }

  const std::size_t capacity_;
  ring<stored> values_;
  shared_queue senders_;
  shared_queue receivers_;
  std::uint64_t next_order_ = 0;
  std::size_t peak_ = 0;
  std::uint64_t sends_ = 0;
  std::uint64_t recvs_ = 0;
  bool closed_ = false;
};

template <class T>
class shared_channel_state<T>::wait : public shared_wait {
 public:
  bool try_commit(waiter&) override { return false; }
  bool give_back(waiter& by) noexcept override { return !sends_ && shared_wait::give_back(by); }
  // A sender whose value has been taken has sent: the message that tells so is on its way.
  bool holds(waiter&) noexcept override { return sends_ && !queued(); }
  wait_description describe() const noexcept override {
    return {sends_ ? "send" : "recv", "shared channel", channel_};
  }
  // Until then the channel is borrowed from its handle.
  void keep() { kept_ = channel_->shared_from_this(); }
  // The value to send, or what was received. It moves to the place with the first wait.
  std::optional<T>& value() noexcept { return place_ ? at(*place_).value : value_; }

 protected:
  explicit wait(shared_channel_state& channel) noexcept : channel_(&channel), sends_(false) {}
  wait(shared_channel_state& channel, T&& value) : channel_(&channel), value_(std::move(value)), sends_(true) {}
  wait(wait&&) noexcept = default;
  wait& operator=(wait&&) noexcept = default;
  ~wait() = default;

  shared_channel_state* channel_;

 private:
  std::shared_ptr<shared_place> make_place() override {
    return std::make_shared<place>(channel_->shared_from_this(), sends_, std::move(value_));
  }

  std::shared_ptr<shared_resource> kept_;
  std::optional<T> value_;
  bool sends_;
};

}  // namespace detail

namespace detail {

// Awaits an operation. The channel is counted only for a task that suspends: that it is not while its handle is used.
template <class T, class O>
class shared_channel_awaiter : public awaiter<O> {
  using state = shared_channel_state<T>;

 public:
  template <class... Value>
  explicit shared_channel_awaiter(const std::shared_ptr<state>& of, Value&&... value)
      : awaiter<O>(std::in_place, *of, std::forward<Value>(value)...), of_(of) {}
  void await_suspend(std::coroutine_handle<> from) {
    kept_ = of_;
    awaiter<O>::await_suspend(from);
  }

 private:
  const std::shared_ptr<state>& of_;
  std::shared_ptr<state> kept_;
};

}  // namespace detail

// Sends one value, once.
template <class T>
class shared_send_operation final : public detail::shared_channel_state<T>::wait {
  using state = detail::shared_channel_state<T>;

 public:
  // Made by send_op.
  shared_send_operation(state& to, T&& value) : state::wait(to, std::move(value)) {}
  bool try_now(waiter&) {
    status_ = this->channel_->try_send(*this->value());
    return *status_ != channel_status::full;
  }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override {
    status_.reset();
    shared_wait::arm(by);
  }
  send_result<T> take_result() noexcept {
    const channel_status waited = this->served() ? channel_status::done : channel_status::closed;
    const channel_status status = status_.value_or(waited);
    if (status == channel_status::done) return {};
    return {status, std::move(this->value())};
  }

 private:
  std::optional<channel_status> status_;  // without a wait
};

// Receives one value, once.
template <class T>
class shared_recv_operation final : public detail::shared_channel_state<T>::wait {
  using state = detail::shared_channel_state<T>;

 public:
  // Made by recv_op.
  explicit shared_recv_operation(state& from) noexcept : state::wait(from) {}
  bool try_now(waiter&) { return this->channel_->try_recv(this->value()) != channel_status::empty; }
  bool try_commit(waiter& by) override { return try_now(by); }
  // The value, or nothing when the channel has ended.
  std::optional<T> take_result() noexcept { return std::exchange(this->value(), std::nullopt); }
};

template <class T>
class shared_channel {
 public:
  // A channel for `capacity` values; 0 hands over directly.
  explicit shared_channel(std::size_t capacity) : state_(std::make_shared<detail::shared_channel_state<T>>(capacity)) {}

  // Waits while full. Yields send_result<T>.
  auto send(T value) const {
    return detail::shared_channel_awaiter<T, shared_send_operation<T>>(state_, std::move(value));
  }
  // Waits while empty. Yields std::optional<T>, empty at the end.
  auto recv() const { return detail::shared_channel_awaiter<T, shared_recv_operation<T>>(state_); }
  shared_send_operation<T> send_op(T value) const { return kept(shared_send_operation<T>(*state_, std::move(value))); }
  shared_recv_operation<T> recv_op() const { return kept(shared_recv_operation<T>(*state_)); }

  // These do not wait. Any thread.
  send_result<T> try_send(T value) const {
    const channel_status status = state_->try_send(value);
    if (status == channel_status::done) return {};
    return {status, std::move(value)};
  }
  // The value; status tells empty from closed.
  std::pair<channel_status, std::optional<T>> try_recv() const {
    std::optional<T> value;
    const channel_status status = state_->try_recv(value);
    return {status, std::move(value)};
  }
  // Idempotent. Waiting senders are refused, waiting receivers see the end; stored values stay to be received.
  void close() const { state_->close(); }
  bool closed() const { return state_->closed(); }
  std::size_t capacity() const noexcept { return state_->capacity(); }
  channel_stats stats() const { return state_->stats(); }

 private:
  template <class O>
  static O kept(O op) {
    op.keep();
    return op;
  }
  std::shared_ptr<detail::shared_channel_state<T>> state_;
};

}  // namespace perilune
