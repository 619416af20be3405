// Calls that block a thread, taken off the loop: blocking(fn) is an operation that runs `fn` on the runtime's pool of
// threads and commits with what it returned or threw.
//
// The operation owns its call. A call still queued is withdrawn when its wait is, and never runs. A call that runs
// cannot be stopped: the waiting task waits for its end even when cancelled, unless the call is abandonable, and a task
// that is killed does not wait at all. So `fn` must own whatever it uses. A call that lost a select runs on; its result
// stays in the operation for the next use, or is dropped with it. One waiter at a time. Not to be awaited outside tasks.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include <perilune/error.hpp>
#include <perilune/task.hpp>

namespace perilune {

// Whose thread makes a call.
enum class blocking_crew : unsigned char {
  pool,   // one of the pool's
  files,  // one of those for calls on files, so that no other call keeps a file waiting
  own,    // one that is started for it, ends with it, has its name, and counts to no bound
};

// How a call is made.
struct blocking_options {
  const char* name = "blocking";  // what diagnostics call it; lives as long as the call
  blocking_crew crew = blocking_crew::pool;
  bool abandonable = false;       // a cancelled task does not wait for the end; a late result is dropped
  bool fellow = false;            // it runs a runtime that is a fellow of this one, see fellow_runtime.hpp
  bool refuse_when_full = false;  // fail with EAGAIN when the queue is full; otherwise the submitter waits its turn
};

// A pool at one moment.
struct blocking_stats {
  std::size_t threads;  // there are, without those that calls have for themselves
  std::size_t running;  // calls on a thread now
  std::size_t queued;   // calls that wait for a thread, beyond the bound of the queue included
};

namespace detail {

class blocking_pool;
class inbox_message;
class worker;

// One call on its way through the pool. The pool keeps it alive from submission to completion.
class blocking_job : public list_node {
 public:
  explicit blocking_job(const blocking_options& options) noexcept;
  blocking_job(const blocking_job&) = delete;
  blocking_job& operator=(const blocking_job&) = delete;
  virtual ~blocking_job();

  // On a thread of the pool.
  virtual void run() noexcept = 0;
  // On the worker's thread: run() has returned, or, with `refusal`, was never called.
  virtual void completed(const error* refusal) noexcept = 0;

  const blocking_options& options() const noexcept { return options_; }

 private:
  friend class blocking_pool;
  enum class phase : unsigned char { idle, queued, running, done };

  blocking_options options_;
  phase phase_ = phase::idle;  // this and all below: the pool's, under its mutex
  worker* home_ = nullptr;
  std::shared_ptr<blocking_job> self_;
  std::unique_ptr<inbox_message> completion_;
  std::chrono::steady_clock::time_point dropped_{};
};

// A call with one task that may wait for it. All but run() and call() belongs to the worker's thread.
class blocking_call : public blocking_job {
 public:
  using blocking_job::blocking_job;
  void run() noexcept final;
  void completed(const error* refusal) noexcept final;
  // Calls the function and keeps what it returned; fail() keeps what it threw.
  virtual void call() = 0;
  virtual void fail(std::exception_ptr failure) noexcept = 0;
  // Where it is, or will be, submitted.
  blocking_pool& pool() const noexcept;

  waiter* waiting = nullptr;
  bool submitted = false;
  bool ready = false;
  worker* home = nullptr;
};

template <class R>
class typed_call : public blocking_call {
 public:
  using blocking_call::blocking_call;
  void fail(std::exception_ptr failure) noexcept final { end.template emplace<2>(std::move(failure)); }

  std::variant<std::monostate, R, std::exception_ptr> end;
};

template <class R, class F>
class bound_call final : public typed_call<R> {
 public:
  bound_call(const blocking_options& options, F fn) : typed_call<R>(options), fn_(std::move(fn)) {}

  void call() override {
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      std::invoke(fn_);
      this->end.template emplace<1>();
    } else {
      this->end.template emplace<1>(std::invoke(fn_));
    }
  }

 private:
  F fn_;
};

// The operation without its result type.
class blocking_wait : public operation {
 public:
  bool try_now(waiter&) noexcept { return call_->ready; }
  bool try_commit(waiter&) override { return call_->ready; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return call_->options().abandonable; }
  bool holds(waiter& by) noexcept override;
  // Submits the call now, on a worker's thread, and not only when a task begins to wait for it.
  void start();
  wait_description describe() const noexcept override { return {call_->options().name, "blocking call", call_.get()}; }

 protected:
  explicit blocking_wait(std::shared_ptr<blocking_call> call) noexcept : call_(std::move(call)) {}
  blocking_wait(blocking_wait&&) noexcept = default;
  blocking_wait& operator=(blocking_wait&& other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~blocking_wait() { drop(); }
  blocking_call& call() const noexcept { return *call_; }
  // Leaves the present call to itself; nobody waits for it.
  void replace(std::shared_ptr<blocking_call> next) noexcept {
    drop();
    call_ = std::move(next);
  }

 private:
  bool withdraw() noexcept;
  void drop() noexcept;
  void start_on(worker& home);
  std::shared_ptr<blocking_call> call_;
};

template <class F>
using blocking_result = std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, unit, std::invoke_result_t<F&>>;

}  // namespace detail

// Await it, give it to select, or drive it as any operation. It is submitted when a task begins to wait, and again by a
// use after its result was taken, where `fn` allows that.
template <class R>
class [[nodiscard("nothing runs before it is awaited")]] blocking_operation final : public detail::blocking_wait {
 public:
  template <class F>
  blocking_operation(const blocking_options& options, F fn)
      : blocking_wait(std::make_shared<detail::bound_call<R, F>>(options, std::move(fn))) {}
  blocking_operation(blocking_operation&&) noexcept = default;
  blocking_operation& operator=(blocking_operation&&) noexcept = default;
  ~blocking_operation() = default;

  // What `fn` returned; throws what it threw.
  R take_result() {
    auto& typed = static_cast<detail::typed_call<R>&>(call());
    auto end = std::exchange(typed.end, {});
    typed.ready = typed.submitted = false;
    if (auto* failure = std::get_if<2>(&end)) std::rethrow_exception(*failure);
    return std::move(*std::get_if<1>(&end));
  }

  auto operator co_await() && { return detail::awaiter<blocking_operation>(std::move(*this)); }
};

// A blocking_operation that has to be named before it is awaited, because it was made from a closure that owns things:
// g++ 12 destroys such a closure twice when it is written inside the co_await expression.
template <class R>
class [[nodiscard("nothing runs before it is awaited")]] named_operation {
 public:
  explicit named_operation(blocking_operation<R> op) noexcept : op_(std::move(op)) {}
  // The operation itself, for select.
  blocking_operation<R> take() && { return std::move(op_); }
  auto operator co_await() & { return detail::awaiter<blocking_operation<R>>(std::move(op_)); }

 private:
  blocking_operation<R> op_;
};

// Runs `fn` on the pool. Yields what it returns (unit for void) and throws what it throws.
//   co_await blocking([] { return slow(); });
//   auto call = blocking([text = std::move(text)] { return slow(text); });
//   co_await call;
template <class F>
auto blocking(F fn, const blocking_options& options = {}) {
  using made = blocking_operation<detail::blocking_result<F>>;
  if constexpr (std::is_trivially_destructible_v<F>)
    return made(options, std::move(fn));
  else
    return named_operation<detail::blocking_result<F>>(made(options, std::move(fn)));
}

}  // namespace perilune
