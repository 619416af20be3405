// oneshot<T>: one value, sent once. The receiver waits for it; closing without a value tells both sides that there will be
// none. What was sent before the close is still received, by one receiver; after that the oneshot has ended.
//
// A oneshot is a handle to shared state: copies mean the same one. oneshot_core has the rules without the value. Belongs
// to one worker; between ticks the host's thread may use what does not wait.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include <perilune/channel.hpp>
#include <perilune/turn_operation.hpp>

namespace perilune {

// A oneshot at one moment.
struct oneshot_stats {
  // How it stood at this moment.
  bool sent;
  bool received;
  bool closed;
  std::size_t waiting_receivers;
};

// The receiving side is the turns of the core itself: one turn for the value, then any number for the end.
class oneshot_core : public turns {
 public:
  oneshot_core() noexcept : ending_(*this) {}

  // How things stand.
  bool sent() const noexcept { return sent_; }
  bool closed() const noexcept { return closed_; }
  // Nobody will receive a value any more, or none that is not sent yet: closed, or received.
  bool ended() const noexcept { return closed_ || received_; }
  // A receiver's turn would bring the value.
  bool full() const noexcept { return sent_ && !received_; }

  // The value has been stored. Requires !sent() && !closed().
  void filled() noexcept {
    sent_ = true;
    offer();
  }
  // Uses a turn: whether it brings the value, which the caller takes then, or the end.
  bool take() noexcept {
    const bool value = full();
    received_ = sent_;
    accepted();
    if (value) ending_.offer();
    return value;
  }
  // Idempotent.
  void close() noexcept {
    closed_ = true;
    offer();
    ending_.offer();
  }
  // Waiting for the end, for whoever works on the value.
  turns& ending() noexcept { return ending_; }
  oneshot_stats stats() const noexcept { return {sent_, received_, closed_, waiting()}; }
  wait_description describe() const noexcept override { return {"recv", "oneshot", this}; }

 protected:
  ~oneshot_core() = default;
  std::size_t available() const noexcept override { return full() ? 1 : ended() ? unlimited : 0; }

 private:
  class end_side final : public turns {
   public:
    explicit end_side(oneshot_core& of) noexcept : of_(of) {}
    wait_description describe() const noexcept override { return {"closed", "oneshot", &of_}; }

   private:
    std::size_t available() const noexcept override { return of_.ended() ? unlimited : 0; }
    oneshot_core& of_;
  };

  end_side ending_;
  bool sent_ = false;
  bool received_ = false;
  bool closed_ = false;
};

namespace detail {

// Throws kind misuse.
[[noreturn]] void refuse_second_send();

template <class T>
class oneshot_state final : public oneshot_core, public counted {
 public:
  scheduler& use_here() { return home_.use_here(); }
  void check_outsider() const { home_.check_outsider(); }

  std::optional<T> value;

 private:
  home_worker home_{"oneshot"};
};

template <class T>
struct oneshot_value {
  using type = oneshot_state<T>;
  static turns& at(type& of) noexcept { return of; }
  static std::optional<T> take(type& of) noexcept {
    if (!of.take()) return std::nullopt;
    std::optional<T> value = std::move(of.value);
    of.value.reset();
    return value;
  }
};

template <class T>
struct oneshot_end {
  using type = oneshot_state<T>;
  static turns& at(type& of) noexcept { return of.ending(); }
  static unit take(type& of) noexcept {
    of.ending().accepted();
    return {};
  }
};

}  // namespace detail

template <class T>
class oneshot {
  static_assert(std::is_nothrow_move_constructible_v<T>, "the value of a oneshot is moved; moving must not throw");

 public:
  oneshot() : state_(new detail::oneshot_state<T>) {}

  // Done, or closed with the value back. Kind misuse when a value was sent before.
  send_result<T> send(T value) const {
    state_->check_outsider();
    if (state_->sent()) detail::refuse_second_send();
    if (state_->closed()) return {channel_status::closed, std::move(value)};
    state_->value.emplace(std::move(value));
    state_->filled();
    return {};
  }
  // Waits for the value. Yields std::optional<T>, empty when there is none (any more).
  auto recv_op() const { return turn_operation<detail::oneshot_value<T>>(state_); }
  auto recv() const { return recv_op().operator co_await(); }
  // Waits until nobody waits for a value any more: the oneshot was closed, or the value received.
  auto closed_op() const { return turn_operation<detail::oneshot_end<T>>(state_); }
  auto wait_closed() const { return closed_op().operator co_await(); }

  // No value comes any more: who waits sees the end. Idempotent.
  void close() const {
    state_->check_outsider();
    state_->close();
  }
  // Closed or received: nothing can be sent to anybody.
  bool closed() const noexcept { return state_->ended(); }
  // All counts at this moment.
  oneshot_stats stats() const noexcept { return state_->stats(); }

 private:
  detail::local_ptr<detail::oneshot_state<T>> state_;
};

}  // namespace perilune
