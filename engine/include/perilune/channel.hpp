// channel<T>: values between C++ tasks of one worker, with exact capacity, FIFO both ways. See channel_core.hpp for the
// rules. A channel is a handle to shared state: copies mean the same channel, which lives as long as any of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <perilune/channel_core.hpp>
#include <perilune/task.hpp>

namespace perilune {

template <class T>
class channel;

namespace detail {

// A queue in a ring that keeps its memory. Grows by doubling up to what is asked for.
template <class T>
class ring {
 public:
  std::size_t size() const noexcept { return size_; }
  void push_back(T&& value) {
    if (size_ == slots_.size()) grow();
    slots_[wrap(head_ + size_)].emplace(std::move(value));
    ++size_;
  }
  void push_front(T&& value) {
    if (size_ == slots_.size()) grow();
    head_ = head_ == 0 ? slots_.size() - 1 : head_ - 1;
    slots_[head_].emplace(std::move(value));
    ++size_;
  }
  T pop_front() {
    T value = std::move(*slots_[head_]);
    slots_[head_].reset();
    head_ = wrap(head_ + 1);
    --size_;
    return value;
  }

 private:
  std::size_t wrap(std::size_t i) const noexcept { return i & (slots_.size() - 1); }
  void grow() {
    std::vector<std::optional<T>> larger(std::max<std::size_t>(2, slots_.size() * 2));
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move(slots_[wrap(head_ + i)]);
    slots_ = std::move(larger);
    head_ = 0;
  }
  std::vector<std::optional<T>> slots_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

template <class T>
class channel_state;

}  // namespace detail

// What became of a send: done, or the value back because the channel is closed (or, for try_send, full).
template <class T>
struct send_result {
  channel_status status = channel_status::done;
  std::optional<T> value;  // the value, where it was not sent
  explicit operator bool() const noexcept { return status == channel_status::done; }
};

template <class T>
class send_operation final : public operation {
 public:
  send_operation(channel<T> to, T value) : channel_(std::move(to)), value_(std::move(value)) {}
  bool try_now(waiter&) {
    status_ = channel_.state().try_send(*scheduler::here(), value_);
    return status_ != channel_status::full;
  }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override {
    status_ = channel_status::done;
    channel_.state().arm_sender(by);
  }
  void disarm(waiter& by) noexcept override { channel_.state().disarm_sender(by); }
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"send", "channel", &channel_.state()}; }
  send_result<T> take_result() {
    if (status_ == channel_status::done) return {};
    return {status_, std::move(value_)};
  }

 private:
  friend class detail::channel_state<T>;
  channel<T> channel_;
  T value_;
  channel_status status_ = channel_status::done;
};

template <class T>
class recv_operation final : public operation {
 public:
  explicit recv_operation(channel<T> from) : channel_(std::move(from)) {}
  bool try_now(waiter&) { return channel_.state().try_recv(*scheduler::here(), value_) != channel_status::empty; }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override { channel_.state().arm_receiver(by); }
  void disarm(waiter& by) noexcept override { channel_.state().disarm_receiver(by); }
  bool give_back(waiter&) noexcept override {
    if (value_) channel_.state().take_back(*scheduler::here(), *std::exchange(value_, std::nullopt));
    return true;
  }
  wait_description describe() const noexcept override { return {"recv", "channel", &channel_.state()}; }
  // The value, or nothing when the channel has ended.
  std::optional<T> take_result() { return std::exchange(value_, std::nullopt); }

 private:
  friend class detail::channel_state<T>;
  channel<T> channel_;
  std::optional<T> value_;
};

namespace detail {

template <class T>
class channel_state final : public channel_core<channel_state<T>> {
 public:
  using channel_core<channel_state<T>>::channel_core;

  std::size_t stored() const noexcept { return values_.size(); }
  void store(T& from) { values_.push_back(std::move(from)); }
  void store_from(waiter& sender) { values_.push_back(std::move(sending(sender).value_)); }
  void fetch(std::optional<T>& to) { to.emplace(values_.pop_front()); }
  void pass(T& from, waiter& receiver) { receiving(receiver).value_.emplace(std::move(from)); }
  void fetch_from(waiter& sender, std::optional<T>& to) { to.emplace(std::move(sending(sender).value_)); }
  void refuse(waiter& sender) noexcept { sending(sender).status_ = channel_status::closed; }
  void finish(waiter&) noexcept {}

  void take_back(scheduler& tasks, T value) {
    if (waiter* next = this->take_receiver()) {
      pass(value, *next);
      tasks.grant(*next);
    } else {
      values_.push_front(std::move(value));
    }
  }

  std::size_t uses = 1;

 private:
  static send_operation<T>& sending(waiter& w) noexcept { return static_cast<send_operation<T>&>(*w.op); }
  static recv_operation<T>& receiving(waiter& w) noexcept { return static_cast<recv_operation<T>&>(*w.op); }
  ring<T> values_;
};

}  // namespace detail

template <class T>
class channel {
 public:
  // A channel for `capacity` values; 0 hands over directly; channel_unbounded never makes a sender wait.
  explicit channel(std::size_t capacity) : state_(new detail::channel_state<T>(capacity)) {}
  channel(const channel& other) noexcept : state_(other.state_) { ++state_->uses; }
  channel(channel&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  channel& operator=(channel other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~channel() {
    if (state_ && --state_->uses == 0) delete state_;
  }

  // Waits while full. Yields send_result<T>.
  auto send(T value) const { return detail::awaiter<send_operation<T>>(std::in_place, *this, std::move(value)); }
  // Waits while empty. Yields std::optional<T>, empty at the end.
  auto recv() const { return detail::awaiter<recv_operation<T>>(std::in_place, *this); }
  send_operation<T> send_op(T value) const { return {*this, std::move(value)}; }
  recv_operation<T> recv_op() const { return recv_operation<T>(*this); }

  send_result<T> try_send(T value) const {
    const channel_status status = state_->try_send(*scheduler::here(), value);
    if (status == channel_status::done) return {};
    return {status, std::move(value)};
  }
  // The value; status tells empty from closed.
  std::pair<channel_status, std::optional<T>> try_recv() const {
    std::optional<T> value;
    const channel_status status = state_->try_recv(*scheduler::here(), value);
    return {status, std::move(value)};
  }
  void close() const noexcept { state_->close(*scheduler::here()); }
  bool closed() const noexcept { return state_->closed(); }
  std::size_t size() const noexcept { return state_->stored(); }
  channel_stats stats() const noexcept { return state_->stats(); }
  detail::channel_state<T>& state() const noexcept { return *state_; }

 private:
  detail::channel_state<T>* state_;
};

}  // namespace perilune
