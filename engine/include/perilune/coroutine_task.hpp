// The task block of a C++ coroutine, and how a coroutine awaits an operation.
//
// A task's frames form a stack on the heap: the body, and the coroutines it awaits. `leaf` is the innermost; a call and a
// return move it and go back to the loop in go_on, so that the native stack stays flat whatever the compiler does about
// tail calls. Cancellation destroys the frames from the innermost outwards, up to the boundary it is aimed at.
// The runtime holds a block until its outcome has settled, handles hold it as long as they like. One worker only.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>

#include <perilune/frame_pool.hpp>
#include <perilune/outcome.hpp>
#include <perilune/scheduler.hpp>

namespace perilune::detail {

// A scope of a C++ task whose body is a coroutine of its own: where a cancellation may stop.
class boundary : public scope_node {
 public:
  // Destroys the body's frames.
  virtual void cut() noexcept = 0;
  std::coroutine_handle<> continuation;
  bool was_cut = false;

 protected:
  ~boundary() = default;
};

class coroutine_task : public task_header {
 public:
  explicit coroutine_task(std::coroutine_handle<> body) noexcept : leaf(body), body_(body) {
    woken_by = wake_kind::start;
  }

  void resume() final;
  void on_settled() noexcept final;

  void retain() noexcept { ++uses_; }
  void release() noexcept {
    if (--uses_ == 0) dispose();
  }
  // The task of the coroutine that runs on this thread. Requires that one does.
  static coroutine_task& running() noexcept { return static_cast<coroutine_task&>(*scheduler::here()->current()); }

  // The exception of a task that failed; of one that was cancelled, what unwrapping its outcome throws; otherwise nullptr.
  virtual std::exception_ptr failure() const noexcept = 0;

 private:
  std::uint32_t uses_ = 1;

 public:
  std::coroutine_handle<> leaf;  // where to resume

 protected:
  ~coroutine_task() = default;
  virtual void dispose() noexcept = 0;
  // The body has ended: true when it left a value, false when it left an exception.
  virtual bool left_value() const noexcept = 0;
  virtual void store_cancelled(reason_ptr why) noexcept = 0;

 private:
  bool may_go_on();
  bool try_again();
  void go_on();
  void unwind();
  bool wait_for_children_below(cancel_node& target);
  void destroy_frames() noexcept {
    if (body_) std::exchange(body_, {}).destroy();
  }

  std::coroutine_handle<> body_;
};

// Throws what a wait that ended without a grant has to say: kind deadlock, or what the operation threw.
[[noreturn]] void raise_wait(const operation& op);

// Reports a failure that nobody has looked at, when the last handle goes away. Once the runtime has ended it has done so.
void report_if_unobserved(coroutine_task& task, const std::exception_ptr& failure) noexcept;

template <class T>
class typed_task final : public coroutine_task {
 public:
  explicit typed_task(std::coroutine_handle<> body) noexcept : coroutine_task(body) {}

  static void* operator new(std::size_t bytes) { return frame_pool::take(bytes); }
  static void operator delete(void* memory, std::size_t bytes) noexcept { frame_pool::give(memory, bytes); }

  std::exception_ptr failure() const noexcept override {
    if (end_value.failed()) return end_value.exception();
    return end_value.cancelled() ? std::make_exception_ptr(task_error(end_value.error())) : nullptr;
  }

  outcome<T> end_value;

 private:
  void dispose() noexcept override { delete this; }
  ~typed_task() {
    if (end_value.failed()) report_if_unobserved(*this, end_value.exception());
  }
  bool left_value() const noexcept override { return end_value.returned(); }
  void store_cancelled(reason_ptr why) noexcept override { end_value.set_cancelled(std::move(why)); }
};

// Awaits an operation O with try_now(), the operation interface and take_result().
template <class O>
class awaiter {
 public:
  explicit awaiter(O&& op) : op_(std::move(op)) {}
  template <class... Args>
  explicit awaiter(std::in_place_t, Args&&... args) : op_(std::forward<Args>(args)...) {}
  awaiter(const awaiter&) = delete;
  awaiter& operator=(const awaiter&) = delete;

  [[gnu::always_inline]] bool await_ready() {
    scheduler& tasks = *scheduler::here();
    if (!tasks.spend()) [[unlikely]]
      return false;
    if (op_.try_now(*tasks.current())) return true;
    step_ = step::tried;
    return false;
  }
  [[gnu::always_inline]] void await_suspend(std::coroutine_handle<> from) {
    scheduler& tasks = *scheduler::here();
    coroutine_task& self = coroutine_task::running();
    self.leaf = from;
    if (std::exchange(step_, step::waited) == step::tried) [[likely]]
      tasks.park(self, op_);
    else
      tasks.yield_then_try(self, op_);
  }
  decltype(auto) await_resume() {
    if (step_ == step::waited && scheduler::here()->current()->woken_by != wake_kind::granted) [[unlikely]]
      raise_wait(op_);
    return op_.take_result();
  }

 private:
  enum class step : unsigned char { untried, tried, waited };
  O op_;
  step step_ = step::untried;
};

}  // namespace perilune::detail
