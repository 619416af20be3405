// channel<T>: values between C++ tasks of one worker, with exact capacity, FIFO both ways. See channel_core.hpp for the
// rules. A channel is a handle to shared state: copies mean the same channel, which lives as long as any of them. It
// belongs to the worker whose task first uses it; between ticks the host's thread may use what does not wait.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <perilune/channel_core.hpp>
#include <perilune/home_worker.hpp>
#include <perilune/ring.hpp>
#include <perilune/task.hpp>

namespace perilune {

template <class T>
class channel;

namespace detail {

template <class T>
class channel_state;

// The channel of an operation: borrowed from the handle that made it, kept from the moment on from which it may wait.
template <class T>
class channel_use {
 public:
  explicit channel_use(channel_state<T>& borrowed) noexcept : state_(&borrowed) {}
  channel_use(channel_use&& other) noexcept : state_(other.state_), kept_(std::exchange(other.kept_, false)) {}
  channel_use& operator=(channel_use&&) = delete;
  ~channel_use() {
    if (kept_) state_->release();
  }
  void keep() noexcept {
    if (!std::exchange(kept_, true)) state_->retain();
  }
  channel_state<T>* operator->() const noexcept { return state_; }
  channel_state<T>* get() const noexcept { return state_; }

 private:
  channel_state<T>* state_;
  bool kept_ = false;
};

}  // namespace detail

// What became of a send: done, or the value back because the channel is closed (or, for try_send, full).
template <class T>
struct send_result {
  channel_status status = channel_status::done;
  std::optional<T> value;  // the value, where it was not sent
  explicit operator bool() const noexcept { return status == channel_status::done; }
};

// Sends one value, once.
template <class T>
class send_operation final : public operation {
 public:
  send_operation(detail::channel_state<T>& to, T&& value) noexcept : channel_(to), value_(std::move(value)) {}
  send_operation(const channel<T>& to, T value) noexcept : send_operation(to.state(), std::move(value)) {
    channel_.keep();
  }

  [[gnu::always_inline]] bool try_now(waiter&) {
    status_ = channel_->try_send(channel_->use_here(), value_);
    return status_ != channel_status::full;
  }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override {
    channel_.keep();
    status_ = channel_status::done;
    channel_->arm_sender(by);
  }
  void disarm(waiter& by) noexcept override {
    channel_->disarm_sender(by);
    status_ = channel_status::full;
  }
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override { return {"send", "channel", channel_.get()}; }
  send_result<T> take_result() noexcept {
    if (status_ == channel_status::done) [[likely]]
      return {};
    return {status_, std::move(value_)};
  }

 private:
  friend class detail::channel_state<T>;
  detail::channel_use<T> channel_;
  channel_status status_ = channel_status::full;  // while the value is still here
  T value_;
};

namespace detail {

// What the receiving operations share: waiting for one value.
template <class T>
class recv_wait : public operation {
 public:
  [[gnu::always_inline]] bool try_now(waiter&) {
    return channel_->try_recv(channel_->use_here(), value_) != channel_status::empty;
  }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override {
    channel_.keep();
    channel_->arm_receiver(by);
  }
  void disarm(waiter& by) noexcept override { channel_->disarm_receiver(by); }
  bool give_back(waiter& by) noexcept override {
    if (value_) channel_->take_back(*by.task->home, by, *value_);
    value_.reset();
    return true;
  }
  wait_description describe() const noexcept override { return {"recv", "channel", channel_.get()}; }
  // Where the value goes that is granted.
  std::optional<T>& slot() noexcept { return value_; }

 protected:
  explicit recv_wait(channel_state<T>& from) noexcept : channel_(from) {}
  recv_wait(recv_wait&&) noexcept = default;
  recv_wait& operator=(recv_wait&&) = delete;
  ~recv_wait() = default;

  channel_use<T> channel_;
  std::optional<T> value_;
};

}  // namespace detail

// Receives one value, once.
template <class T>
class recv_operation final : public detail::recv_wait<T> {
 public:
  explicit recv_operation(detail::channel_state<T>& from) noexcept : detail::recv_wait<T>(from) {}
  explicit recv_operation(const channel<T>& from) noexcept : recv_operation(from.state()) { this->channel_.keep(); }

  // The value, or nothing when the channel has ended.
  std::optional<T> take_result() noexcept {
    if (!this->value_) [[unlikely]]
      return std::nullopt;
    return std::optional<T>(std::in_place, std::move(*this->value_));
  }
};

// Receives one value and what else is there, up to a limit, once.
template <class T>
class recv_many_operation final : public detail::recv_wait<T> {
 public:
  recv_many_operation(detail::channel_state<T>& from, std::size_t limit) noexcept
      : detail::recv_wait<T>(from), limit_(limit) {}
  recv_many_operation(const channel<T>& from, std::size_t limit) noexcept : recv_many_operation(from.state(), limit) {
    this->channel_.keep();
  }

  bool try_now(waiter& by) { return limit_ == 0 || detail::recv_wait<T>::try_now(by); }
  bool try_commit(waiter& by) override { return try_now(by); }
  wait_description describe() const noexcept override { return {"recv_many", "channel", this->channel_.get()}; }
  // Empty when the channel has ended, or the limit is 0.
  std::vector<T> take_result() {
    std::vector<T> values;
    scheduler& here = *scheduler::here();
    while (this->value_) {
      values.push_back(std::move(*this->value_));
      this->value_.reset();
      if (values.size() < limit_) this->channel_->try_recv(here, this->value_);
    }
    return values;
  }

 private:
  std::size_t limit_;
};

namespace detail {

template <class T>
class channel_state final : public channel_core<channel_state<T>> {
 public:
  using channel_core<channel_state<T>>::channel_core;

  std::size_t stored() const noexcept { return values_.size(); }
  void store(T& from) { values_.push_back(std::move(from)); }
  void store_from(waiter& sender) { values_.push_back(std::move(sending(sender).value_)); }
  void fetch(std::optional<T>& to) noexcept {
    to.emplace(std::move(values_.front()));
    values_.drop_front();
  }
  void pass(T& from, waiter& receiver) noexcept { receiving(receiver).slot().emplace(std::move(from)); }
  void fetch_from(waiter& sender, std::optional<T>& to) noexcept { to.emplace(std::move(sending(sender).value_)); }
  void refuse(waiter& sender) noexcept { sending(sender).status_ = channel_status::closed; }
  void finish(waiter&) noexcept {}
  void put_back(T& value, std::size_t place) { values_.insert(place, std::move(value)); }

  scheduler& use_here() { return home_.use_here(); }
  void check_outsider() const { home_.check_outsider(); }

  void retain() noexcept { ++uses_; }
  void release() noexcept {
    if (--uses_ == 0) [[unlikely]]
      destroy();
  }

 private:
  static send_operation<T>& sending(waiter& w) noexcept { return static_cast<send_operation<T>&>(*w.op); }
  static recv_wait<T>& receiving(waiter& w) noexcept { return static_cast<recv_wait<T>&>(*w.op); }
  [[gnu::noinline]] void destroy() noexcept { delete this; }

  home_worker home_{"channel"};
  ring<T> values_;
  std::size_t uses_ = 1;
};

}  // namespace detail

template <class T>
class channel {
 public:
  // A channel for `capacity` values; 0 hands over directly; channel_unbounded never makes a sender wait.
  explicit channel(std::size_t capacity) : state_(new detail::channel_state<T>(capacity)) {}
  channel(const channel& other) noexcept : state_(other.state_) { state_->retain(); }
  channel(channel&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  channel& operator=(channel other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~channel() {
    if (state_) state_->release();
  }

  // Waits while full. Yields send_result<T>.
  auto send(T value) const { return detail::awaiter<send_operation<T>>(std::in_place, *state_, std::move(value)); }
  // Waits while empty. Yields std::optional<T>, empty at the end.
  auto recv() const { return detail::awaiter<recv_operation<T>>(std::in_place, *state_); }
  // Waits for one value and takes up to `limit`. Yields std::vector<T>, empty at the end; at once when the limit is 0.
  auto recv_many(std::size_t limit) const {
    return detail::awaiter<recv_many_operation<T>>(std::in_place, *state_, limit);
  }
  recv_many_operation<T> recv_many_op(std::size_t limit) const { return {*this, limit}; }
  send_operation<T> send_op(T value) const { return {*this, std::move(value)}; }
  recv_operation<T> recv_op() const { return recv_operation<T>(*this); }

  // Never waits: status done, full or closed; the value comes back with the last two.
  send_result<T> try_send(T value) const {
    state_->check_outsider();
    for_outsiders any;
    const channel_status status = state_->try_send(any, value);
    if (status == channel_status::done) return {};
    return {status, std::move(value)};
  }
  // The value; status tells empty from closed.
  std::pair<channel_status, std::optional<T>> try_recv() const {
    state_->check_outsider();
    for_outsiders any;
    std::optional<T> value;
    const channel_status status = state_->try_recv(any, value);
    return {status, std::move(value)};
  }
  void close() const {
    state_->check_outsider();
    for_outsiders any;
    state_->close(any);
  }
  bool closed() const noexcept { return state_->closed(); }
  std::size_t size() const noexcept { return state_->stored(); }
  channel_stats stats() const noexcept { return state_->stats(); }
  detail::channel_state<T>& state() const noexcept { return *state_; }

 private:
  detail::channel_state<T>* state_;
};

}  // namespace perilune
