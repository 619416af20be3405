// task<T>: a lazy C++20 coroutine, and the task block that runs one.
//
// `co_await child` runs the child inside the awaiting task, like a call. `spawn(child)` makes it a task of its own, owned
// by the runtime until its outcome settles, and returns a handle, which is only a view that also keeps the outcome.
// Cancellation of a C++ task destroys its frames at the suspension point, innermost first, after the tasks spawned inside
// them have ended: destructors are its closers and cannot await. Everything here belongs to one worker.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <perilune/frame_pool.hpp>
#include <perilune/outcome.hpp>
#include <perilune/scheduler.hpp>

namespace perilune {

template <class T>
class task;

namespace detail {

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

struct promise_base {
  std::coroutine_handle<> continuation;

  static void* operator new(std::size_t bytes) { return frame_pool::take(bytes); }
  static void operator delete(void* memory, std::size_t bytes) noexcept { frame_pool::give(memory, bytes); }

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> done) const noexcept {
      auto next = done.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct promise : promise_base {
  std::variant<std::monostate, T, std::exception_ptr> state;

  task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    state.template emplace<1>(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { state.template emplace<2>(std::current_exception()); }
  T take() {
    if (state.index() == 2) std::rethrow_exception(*std::get_if<2>(&state));
    return std::move(*std::get_if<1>(&state));
  }
  outcome<T> conclude() {
    if (state.index() == 2) return outcome<T>(*std::get_if<2>(&state));
    return outcome<T>(std::move(*std::get_if<1>(&state)));
  }
};

template <>
struct promise<void> : promise_base {
  std::exception_ptr failure;

  task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { failure = std::current_exception(); }
  void take() const {
    if (failure) std::rethrow_exception(failure);
  }
  outcome<void> conclude() const {
    if (failure) return outcome<void>(failure);
    return outcome<void>(unit{});
  }
};

}  // namespace detail

template <class T = void>
class [[nodiscard("a task runs only when awaited or spawned")]] task {
 public:
  using promise_type = detail::promise<T>;
  using frame = std::coroutine_handle<promise_type>;

  task() noexcept = default;
  explicit task(frame f) noexcept : frame_(f) {}
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  task& operator=(task&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~task() {
    if (frame_) frame_.destroy();
  }

  explicit operator bool() const noexcept { return static_cast<bool>(frame_); }
  frame get() const noexcept { return frame_; }
  frame release() noexcept { return std::exchange(frame_, {}); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> from) noexcept {
    frame_.promise().continuation = from;
    return frame_;
  }
  T await_resume() { return frame_.promise().take(); }

 private:
  frame frame_;
};

namespace detail {

template <class T>
task<T> promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<promise<T>>::from_promise(*this));
}
inline task<void> promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<promise<void>>::from_promise(*this));
}

// The task block of a C++ coroutine, without its result type. Counted: one for the runtime until settled, one a handle.
class coroutine_task : public task_header {
 public:
  explicit coroutine_task(std::coroutine_handle<> body) noexcept : leaf(body), body_(body) {}

  void resume() final;
  void on_settled() noexcept final;

  void retain() noexcept { ++uses_; }
  void release() noexcept {
    if (--uses_ == 0) dispose();
  }
  // The task of the coroutine that runs on this thread. Requires that one does.
  static coroutine_task& running() noexcept { return static_cast<coroutine_task&>(*scheduler::here()->current()); }

  // The exception a failed task ended with.
  virtual std::exception_ptr failure() const noexcept = 0;

  std::coroutine_handle<> leaf;  // where to resume

 protected:
  ~coroutine_task() = default;
  virtual void dispose() noexcept = 0;
  // Keeps what the finished body left; true when that is a value, false when it is an exception.
  virtual bool store_end() = 0;
  virtual void store_cancelled(reason_ptr reason) noexcept = 0;
  std::coroutine_handle<> body() const noexcept { return body_; }

 private:
  void go_on();
  void unwind();
  bool wait_for_children_below(cancel_node& target);
  void destroy_frames() noexcept {
    if (body_) std::exchange(body_, {}).destroy();
  }

  std::coroutine_handle<> body_;
  std::uint32_t uses_ = 1;
};

// Throws task_error of kind deadlock for the wait on `op` that nothing can end.
[[noreturn]] void raise_deadlock(const operation& op);

void report_if_unobserved(const task_header& task, std::exception_ptr failure) noexcept;

template <class T>
class typed_task final : public coroutine_task {
 public:
  explicit typed_task(typename perilune::task<T>::frame body) noexcept : coroutine_task(body) {}

  static void* operator new(std::size_t bytes) { return frame_pool::take(bytes); }
  static void operator delete(void* memory, std::size_t bytes) noexcept { frame_pool::give(memory, bytes); }

  std::exception_ptr failure() const noexcept override { return end_value.failed() ? end_value.exception() : nullptr; }

  outcome<T> end_value;

 private:
  void dispose() noexcept override { delete this; }
  ~typed_task() {
    if (end_value.failed() && !is(trait::observed)) report_if_unobserved(*this, end_value.exception());
  }
  bool store_end() override {
    end_value = perilune::task<T>::frame::from_address(body().address()).promise().conclude();
    return end_value.returned();
  }
  void store_cancelled(reason_ptr reason) noexcept override { end_value = outcome<T>(std::move(reason)); }
};

// Awaits an operation O with try_now(), the operation interface and take_result().
template <class O>
class awaiter {
 public:
  explicit awaiter(O&& op) : op_(std::move(op)) {}
  template <class... Args>
  explicit awaiter(std::in_place_t, Args&&... args) : op_(std::forward<Args>(args)...) {}

  bool await_ready() {
    scheduler& tasks = *scheduler::here();
    if (tasks.current()->cancel_pending() || !tasks.spend()) [[unlikely]]
      return false;
    tried_ = true;
    return op_.try_now(*tasks.current());
  }
  void await_suspend(std::coroutine_handle<> from) {
    scheduler& tasks = *scheduler::here();
    coroutine_task& self = coroutine_task::running();
    self.leaf = from;
    if (tried_) [[likely]]
      tasks.park(self, op_);
    else
      tasks.yield_then_try(self, op_);
  }
  decltype(auto) await_resume() {
    if (scheduler::here()->current()->woken_by == wake_kind::deadlock) [[unlikely]]
      raise_deadlock(op_);
    return op_.take_result();
  }

 private:
  O op_;
  bool tried_ = false;
};

}  // namespace detail

// A view of a spawned task that keeps its outcome. Copies share it. Stays on the worker of the task.
template <class T>
class task_handle {
 public:
  task_handle() noexcept = default;
  explicit task_handle(detail::typed_task<T>& t) noexcept : task_(&t) { task_->retain(); }
  task_handle(const task_handle& other) noexcept : task_(other.task_) {
    if (task_) task_->retain();
  }
  task_handle(task_handle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  task_handle& operator=(task_handle other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  ~task_handle() {
    if (task_) task_->release();
  }

  explicit operator bool() const noexcept { return task_ != nullptr; }
  std::uint64_t id() const noexcept { return task_->id; }
  task_state state() const noexcept { return task_->status; }
  bool settled() const noexcept { return task_->settled(); }
  task_header& header() const noexcept { return *task_; }

  // Asks the task to end. Returns at once; idempotent; without effect on a settled task.
  void cancel(std::string text = {}) const {
    task_header* asker = scheduler::here() ? scheduler::here()->current() : nullptr;
    if (!settled()) perilune::cancel(*task_, reason_ptr::make(cancel_source::cancel, std::move(text), asker ? asker->id : 0));
  }
  // Moves the task out of its parent's subtree: it outlives the parent.
  void detach() const noexcept {
    if (settled()) return;
    static_cast<cancel_node*>(task_)->detach();
    task_->attach_to(task_->home->detached);
    task_->mark(task_header::trait::detached);
  }

  class join_operation : public operation {
   public:
    explicit join_operation(detail::typed_task<T>& t) noexcept : task_(t) {}
    bool try_now(waiter&) noexcept { return task_->settled(); }
    bool try_commit(waiter& by) override { return try_now(by); }
    void arm(waiter& by) override { task_->arm(by); }
    void disarm(waiter& by) noexcept override { task_->disarm(by); }
    bool give_back(waiter&) noexcept override { return false; }
    wait_description describe() const noexcept override { return task_->describe(); }
    const outcome<T>& take_result() noexcept { return task_.outcome_now(); }

   private:
    task_handle task_;
    const detail::typed_task<T>* operator->() const noexcept { return task_.task_; }
  };

  // Waits for the outcome; never fails for the task's failure. The reference lives as long as a handle.
  detail::awaiter<join_operation> join() const { return detail::awaiter<join_operation>(std::in_place, *task_); }
  join_operation join_op() const { return join_operation(*task_); }

  // The outcome of a settled task; marks it as looked at.
  const outcome<T>& outcome_now() const noexcept {
    task_->mark(task_header::trait::observed);
    return task_->end_value;
  }
  outcome<T> take() && {
    task_->mark(task_header::trait::observed);
    return std::move(task_->end_value);
  }
  detail::typed_task<T>* operator->() const noexcept { return task_; }

 private:
  detail::typed_task<T>* task_ = nullptr;
};

namespace detail {
template <class T>
task_handle<T> make_task(task<T> body) {
  auto* block = new typed_task<T>(body.get());
  body.release();
  return task_handle<T>(*block);
}
}  // namespace detail

// Queues a child of the running task. Requires a running task.
template <class T>
task_handle<T> spawn(task<T> body, const spawn_options& options = {}) {
  task_handle<T> handle = detail::make_task(std::move(body));
  scheduler::here()->spawn(handle.header(), options);
  return handle;
}

// Lets everything that is ready now run once, the running task's own new children first and in order.
struct yield_awaiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> from) const noexcept {
    detail::coroutine_task& self = detail::coroutine_task::running();
    self.leaf = from;
    self.home->yield(self);
  }
  void await_resume() const noexcept {}
};
inline yield_awaiter yield() noexcept { return {}; }

}  // namespace perilune
