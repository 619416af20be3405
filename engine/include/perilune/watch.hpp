// watch<T>: the newest value of something, and who wants to know when it changes. Setting never waits; a receiver that
// comes late sees the newest value only. What a receiver has seen is its own: the value it subscribed at counts as seen.
// Setting an equal value is a change.
//
// A watch and its receivers are handles to shared state: copies mean the same one. watch_core and watch_subscription have
// the rules without the value. Belongs to one worker; between ticks the host's thread may use what does not wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <perilune/home_worker.hpp>
#include <perilune/subscription.hpp>
#include <perilune/turn_operation.hpp>

namespace perilune {

// A watch at one moment.
struct watch_stats {
  std::uint64_t version;  // how often it was set
  std::size_t subscribers;
  std::size_t waiting_receivers;
  bool closed;
};

class watch_core {
 public:
  watch_core() noexcept = default;
  watch_core(const watch_core&) = delete;
  watch_core& operator=(const watch_core&) = delete;

  // How often it was set, and whether it has ended.
  std::uint64_t version() const noexcept { return version_; }
  bool closed() const noexcept { return closed_; }
  // The value has been replaced.
  void changed() noexcept {
    ++version_;
    subscriptions_.offer_all();
  }
  // No change comes any more: who has seen the newest value sees the end. Idempotent.
  void close() noexcept {
    closed_ = true;
    subscriptions_.offer_all();
  }
  watch_stats stats() const noexcept { return {version_, subscriptions_.count(), subscriptions_.waiting(), closed_}; }

 protected:
  ~watch_core() = default;

 private:
  friend class watch_subscription;
  subscriptions subscriptions_;
  std::uint64_t version_ = 0;
  bool closed_ = false;
};

// Which version a receiver has seen. Owned by the receiver; the core outlives it.
class watch_subscription final : public subscription {
 public:
  // Has seen what is there now.
  explicit watch_subscription(watch_core& of) noexcept : subscription(of.subscriptions_), of_(of), seen_(of.version_) {}

  // Whether it has seen the newest version; it has from now on.
  bool current() const noexcept { return seen_ == of_.version_; }
  void mark_seen() noexcept { seen_ = of_.version_; }
  // Uses a turn: true for a change, which is seen now; false for the end. All who waited when the value changed are told.
  bool take() noexcept {
    const bool change = !left() && !(current() && of_.closed_);
    mark_seen();
    accepted();
    return change;
  }
  wait_description describe() const noexcept override { return {"changed", "watch", &of_}; }

 private:
  std::size_t available() const noexcept override { return left() || of_.closed_ || !current() ? unlimited : 0; }

  watch_core& of_;
  std::uint64_t seen_;
};

namespace detail {

template <class T>
class watch_state final : public watch_core, public counted {
 public:
  explicit watch_state(T&& initial) : value(std::move(initial)) {}
  scheduler& use_here() { return home_.use_here(); }
  void check_outsider() const { home_.check_outsider(); }

  T value;

 private:
  home_worker home_{"watch"};
};

template <class T>
class watch_receiver_state final : public counted {
 public:
  explicit watch_receiver_state(local_ptr<watch_state<T>> watch) noexcept : of(std::move(watch)), seen(*of) {}
  scheduler& use_here() { return of->use_here(); }

  local_ptr<watch_state<T>> of;
  watch_subscription seen;
};

template <class T>
struct watch_change {
  using type = watch_receiver_state<T>;
  static turns& at(type& of) noexcept { return of.seen; }
  static bool take(type& of) noexcept { return of.seen.take(); }
};

}  // namespace detail

// A receiving end: sees the newest value, not every one. Copies are the same receiver; of one worker.
template <class T>
class watch_receiver {
 public:
  explicit watch_receiver(const detail::local_ptr<detail::watch_state<T>>& of)
      : state_(new detail::watch_receiver_state<T>(of)) {}

  // Waits for a value not seen yet and marks it seen. Yields true, or false when the watch was closed and none is left.
  auto changed_op() const { return turn_operation<detail::watch_change<T>>(state_); }
  auto changed() const { return changed_op().operator co_await(); }
  // The newest value, until the watch is set again. Marks nothing.
  const T& get() const noexcept { return state_->of->value; }
  const T& get_and_mark() const noexcept {
    state_->seen.mark_seen();
    return get();
  }
  // Waits until `holds(value)`, and marks it seen; at once when it holds already. Nothing when the watch was closed before.
  template <class Predicate>
  task<std::optional<T>> wait_for(Predicate holds) const {
    return wait_at(*this, std::move(holds));
  }
  // No longer subscribed: who waits sees the end. Idempotent.
  void close() const {
    state_->of->check_outsider();
    state_->seen.leave();
  }

 private:
  template <class Predicate>
  static task<std::optional<T>> wait_at(watch_receiver at, Predicate holds) {
    while (!holds(at.get_and_mark())) {
      const bool changed = co_await at.changed();
      if (!changed) co_return std::nullopt;
    }
    co_return at.get();
  }

  detail::local_ptr<detail::watch_receiver_state<T>> state_;
};

template <class T>
class watch {
 public:
  // With a value from the beginning.
  explicit watch(T initial) : state_(new detail::watch_state<T>(std::move(initial))) {}

  // False when the watch is closed; it keeps its value then.
  bool set(T value) const {
    state_->check_outsider();
    if (state_->closed()) return false;
    state_->value = std::move(value);
    state_->changed();
    return true;
  }
  // Sets what `change(value)` returns, a T or an optional<T>. Nothing, or an exception, leaves the value as it is and wakes
  // nobody. True when it was set.
  template <class F>
  bool update(F change) const {
    state_->check_outsider();
    if (state_->closed()) return false;
    std::optional<T> next(change(std::as_const(state_->value)));
    return next && set(*std::move(next));
  }
  const T& get() const noexcept { return state_->value; }
  watch_receiver<T> subscribe() const {
    state_->check_outsider();
    return watch_receiver<T>(state_);
  }
  void close() const {
    state_->check_outsider();
    state_->close();
  }
  bool closed() const noexcept { return state_->closed(); }
  watch_stats stats() const noexcept { return state_->stats(); }

 private:
  detail::local_ptr<detail::watch_state<T>> state_;
};

}  // namespace perilune
