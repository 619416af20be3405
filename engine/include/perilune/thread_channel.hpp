// thread_channel<T>: a channel as threads see it that run no tasks. Their calls block the thread, go through the worker's
// inbox, and are carried out there by a task of its own, in the order of the channel.
//
// Made on the channel's worker, by a task or a posted function; then copied, used and dropped on any thread. While one
// exists, the worker counts on being woken: its run is not called stalled, and virtual time waits. When the run ends, calls
// that wait return as if the channel had been closed; later ones wait for the next run, or the end of the runtime.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include <perilune/channel.hpp>

namespace perilune {

class runtime;

namespace detail {

class doorway;
class worker;

// The way of other threads into a worker.
class thread_gate {
 public:
  // On the worker's thread.
  thread_gate();
  thread_gate(const thread_gate&) = delete;
  thread_gate& operator=(const thread_gate&) = delete;
  ~thread_gate();
  // Calls `fn` on the worker's thread, soon. Any thread. `fn` is dropped when the worker has shut down.
  void post(std::function<void()> fn) const;

 private:
  worker* home_;
  std::shared_ptr<doorway> door_;
  runtime* owner_;
};

// Throws kind misuse on the thread of a worker, where `verb` would wait for what only this thread can do.
void check_may_block(const char* verb);

// What an unfinished call returns.
template <class T>
send_result<T> unsent(send_result<T> left) noexcept {
  left.status = channel_status::closed;
  return left;
}
template <class T>
std::optional<T> unsent(std::optional<T>) noexcept {
  return std::nullopt;
}

// One blocking call: its operation, tried and waited for by a task of the worker, and the thread's way to the result.
template <class Op>
class thread_call {
 public:
  using result_type = decltype(std::declval<Op&>().take_result());

  template <class... Args>
  explicit thread_call(std::in_place_t, Args&&... args) : op_(std::forward<Args>(args)...) {}
  thread_call(const thread_call&) = delete;
  thread_call& operator=(const thread_call&) = delete;
  ~thread_call() {
    if (!ended_) end_.set_value(unsent(op_.take_result()));
  }

  std::future<result_type> result() { return end_.get_future(); }
  static task<void> carry_out(std::shared_ptr<thread_call> call) {
    co_await in_place{call->op_};
    call->ended_ = true;
    call->end_.set_value(call->op_.take_result());
  }

 private:
  // Awaits an operation where it is, so that what it holds outlives the task.
  struct in_place {
    Op& op;
    bool waited = false;
    bool await_ready() const { return op.try_now(*scheduler::here()->current()); }
    void await_suspend(std::coroutine_handle<> from) {
      coroutine_task& self = coroutine_task::running();
      self.leaf = from;
      waited = true;
      self.home->park(self, op);
    }
    void await_resume() const {
      if (waited && scheduler::here()->current()->woken_by != wake_kind::granted) [[unlikely]]
        raise_wait(op);
    }
  };

  Op op_;
  std::promise<result_type> end_;
  bool ended_ = false;
};

}  // namespace detail

template <class T>
class thread_channel {
 public:
  // Of a channel of the worker that makes this. Copies of it may go to any thread.
  explicit thread_channel(const channel<T>& of) : end_(std::make_shared<const end>(of)) {}

  // Waits while full. Closed, with the value back, when the channel is closed or the run ends. Kind misuse on a worker.
  send_result<T> blocking_send(T value) const {
    detail::check_may_block("blocking_send");
    return call<send_operation<T>>(end_->of.state(), std::move(value));
  }
  // Waits while empty. Nothing when the channel has ended, or the run. Kind misuse on a worker.
  std::optional<T> blocking_recv() const {
    detail::check_may_block("blocking_recv");
    return call<recv_operation<T>>(end_->of.state());
  }

 private:
  // The handle belongs to the worker and goes back there.
  struct end {
    explicit end(const channel<T>& c) : of(c) { of.state().use_here(); }
    end(const end&) = delete;
    end& operator=(const end&) = delete;
    ~end() {
      gate.post([kept = std::move(of)] {});
    }
    detail::thread_gate gate;
    channel<T> of;
  };

  template <class Op, class... Args>
  typename detail::thread_call<Op>::result_type call(Args&&... args) const {
    auto made = std::make_shared<detail::thread_call<Op>>(std::in_place, std::forward<Args>(args)...);
    auto result = made->result();
    end_->gate.post([made = std::move(made)] {
      spawn_options daemon;
      daemon.daemon = true;
      spawn(detail::thread_call<Op>::carry_out(made), daemon);
    });
    return result.get();
  }

  std::shared_ptr<const end> end_;
};

}  // namespace perilune
