// task<T>: a lazy C++20 coroutine. `co_await child` runs the child inside the awaiting task, like a call. `spawn(child)`
// makes it a task of its own, owned by the runtime until its outcome settles, and returns a handle.
//
// Cancellation of a C++ task destroys its frames at the suspension point, innermost first, after the tasks spawned inside
// them have ended: destructors are its closers and cannot await. Everything here belongs to one worker.
#pragma once

#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>

#include <perilune/coroutine_task.hpp>
#include <perilune/task_handle.hpp>

namespace perilune {

template <class T>
class task;

namespace detail {

struct promise_base {
  std::coroutine_handle<> continuation;

  static void* operator new(std::size_t bytes) { return frame_pool::take(bytes); }
  static void operator delete(void* memory, std::size_t bytes) noexcept { frame_pool::give(memory, bytes); }

  // The body of a task has no continuation; its end is found by the loop that resumed it.
  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> done) const noexcept {
      if (auto next = done.promise().continuation) coroutine_task::running().leaf = next;
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }
};

// A coroutine leaves its end where whoever started it has said.
template <class T>
struct promise : promise_base {
  outcome<T>* end = nullptr;

  task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    end->set_value(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { end->set_failure(std::current_exception()); }
};

template <>
struct promise<void> : promise_base {
  outcome<void>* end = nullptr;

  task<void> get_return_object() noexcept;
  void return_void() const noexcept { end->set_value(); }
  void unhandled_exception() const noexcept { end->set_failure(std::current_exception()); }
};

// Starts a coroutine inside the running task; `from` goes on when it has ended.
template <class P, class T>
void call(std::coroutine_handle<P> child, std::coroutine_handle<> from, outcome<T>& end) noexcept {
  child.promise().continuation = from;
  child.promise().end = &end;
  coroutine_task::running().leaf = child;
}

template <class T>
class call_awaiter {
 public:
  explicit call_awaiter(std::coroutine_handle<promise<T>> child) noexcept : child_(child) {}
  call_awaiter(const call_awaiter&) = delete;
  call_awaiter& operator=(const call_awaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> from) noexcept { call(child_, from, end_); }
  T await_resume() {
    if constexpr (std::is_void_v<T>)
      static_cast<void>(std::move(end_).unwrap());
    else
      return std::move(end_).unwrap();
  }

 private:
  std::coroutine_handle<promise<T>> child_;
  outcome<T> end_;
};

}  // namespace detail

template <class T = void>
class [[nodiscard("a task runs only when awaited or spawned")]] task {
 public:
  // What it returns, and how the compiler makes it.
  using result_type = T;
  using promise_type = detail::promise<T>;
  using frame = std::coroutine_handle<promise_type>;

  task() noexcept = default;
  // Takes over a frame that has not begun.
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
  // The frame, kept or given away.
  frame get() const noexcept { return frame_; }
  frame release() noexcept { return std::exchange(frame_, {}); }

  // Runs the coroutine to its end; its exception passes through. A coroutine runs once.
  detail::call_awaiter<T> operator co_await() const noexcept { return detail::call_awaiter<T>(frame_); }

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

// Throws kind misuse for a task that was moved from, and where no runtime runs on this thread.
void check_spawnable(bool has_body);
scheduler& scheduler_here();

template <class T>
task_handle<T> make_task(task<T> body) {
  check_spawnable(static_cast<bool>(body));
  auto* block = new typed_task<T>(body.get());
  body.release().promise().end = &block->end_value;
  return task_handle<T>(*block);
}

}  // namespace detail

// Queues a child of the running task; inside a function posted to a worker, a root task of that worker.
template <class T>
task_handle<T> spawn(task<T> body, const spawn_options& options = {}) {
  scheduler& tasks = detail::scheduler_here();
  task_handle<T> handle = detail::make_task(std::move(body));
  tasks.spawn(handle.header(), options);
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
