// Opt-in: a runtime that lives on an asio executor of the host's, most often that of its io_context, and asio's own operations in
// tasks. The only public header that includes asio.
//
// A joined runtime has one worker and no loop: whoever runs the context runs the tasks, between the context's own
// completions. Its tasks, handles and channels belong to the thread that runs the context, which must be one at a time.
// The context has work as long as a task waits for a timer or for the system, so that run() returns when all is done.
//
//   const std::size_t count = co_await socket.async_read_some(buffer, perilune::use_task);
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/system_error.hpp>

#include <perilune/outside_call.hpp>
#include <perilune/runtime.hpp>

namespace perilune {

namespace detail {

struct host_loop {
  asio::any_io_executor executor;
};

}  // namespace detail

// The options of a runtime that is driven by `executor`: perilune::runtime rt(perilune::join(io.get_executor()));
inline runtime_options join(asio::any_io_executor executor, runtime_options options = {}) {
  options.joined = std::make_shared<detail::host_loop>(std::move(executor));
  return options;
}

// A completion token: the operation begins when a task awaits what the call returns, and the task waits for its end. That yields
// what the handler would have been given, a std::tuple of several, and throws asio::system_error for an error code.
//
// A task that is cancelled meanwhile has the operation cancelled, and ends when asio has let go of it, so that buffers may be the
// task's own. What has been done by then is yielded, and the task ends at its next wait. The operation's context may be the one
// that the runtime is joined to, or one that another thread runs; it has to be run on until the operation has ended.
struct use_task_t {};
inline constexpr use_task_t use_task{};

namespace detail {

template <class... T>
class asio_call final : public outside_call {
 public:
  asio_call() : outside_call("asio operation") {}

  // Both where the operation runs.
  void end(std::exception_ptr failure, bool aborted, T... values) {
    values_.emplace(std::move(values)...);
    finish(std::move(failure), aborted);
  }
  void abort() { finish(std::make_exception_ptr(asio::system_error(asio::error::operation_aborted)), true); }
  bool holds(waiter&) noexcept override {
    if (arrived()) return false;
    if (!std::exchange(stopping_, true)) stop();
    return true;
  }
  std::tuple<T...> take() {
    if (failure_) std::rethrow_exception(failure_);
    return *std::move(values_);
  }

  asio::cancellation_signal cancellation;
  // Emits it where the operation runs.
  std::function<void()> stop;

 private:
  bool was_stopped() const noexcept override { return stopping_ && aborted_; }
  void finish(std::exception_ptr failure, bool aborted) {
    cancellation.slot().clear();
    if (!claim()) return;
    failure_ = std::move(failure);
    aborted_ = aborted;
    deliver();
  }

  std::exception_ptr failure_;
  std::optional<std::tuple<T...>> values_;
  bool aborted_ = false;
  bool stopping_ = false;
};

// What asio calls. One that it drops uncalled, since its context has ended, is an aborted operation.
template <class... T>
class asio_handler {
 public:
  using cancellation_slot_type = asio::cancellation_slot;

  explicit asio_handler(std::shared_ptr<asio_call<T...>> call) noexcept : call_(std::move(call)) {}
  asio_handler(asio_handler&&) noexcept = default;
  asio_handler& operator=(asio_handler&&) = delete;
  ~asio_handler() {
    if (call_) call_->abort();
  }

  cancellation_slot_type get_cancellation_slot() const noexcept { return call_->cancellation.slot(); }
  void operator()(const asio::error_code& failed, T... values) {
    end(failed ? std::make_exception_ptr(asio::system_error(failed)) : nullptr,
        failed == asio::error::operation_aborted, std::move(values)...);
  }
  void operator()(std::exception_ptr failed, T... values) { end(std::move(failed), false, std::move(values)...); }
  void operator()(T... values) { end(nullptr, false, std::move(values)...); }

 private:
  void end(std::exception_ptr failure, bool aborted, T... values) {
    std::exchange(call_, nullptr)->end(std::move(failure), aborted, std::move(values)...);
  }

  std::shared_ptr<asio_call<T...>> call_;
};

// Owned by the awaiting frame; the call itself also by the handler.
template <class Start, class... T>
class [[nodiscard("nothing runs before it is awaited")]] asio_operation final : public operation {
 public:
  explicit asio_operation(Start start) : start_(std::move(start)) {}

  bool try_now(waiter&) noexcept { return false; }
  bool try_commit(waiter&) override { return false; }
  void arm(waiter& by) override {
    call_ = std::make_shared<asio_call<T...>>();
    call_->arm(by);
    start_(*call_, asio_handler<T...>(call_));
  }
  void disarm(waiter& by) noexcept override { call_->disarm(by); }
  bool give_back(waiter&) noexcept override { return false; }
  bool holds(waiter& by) noexcept override { return call_->holds(by); }
  wait_description describe() const noexcept override { return {"asio operation", "asio context", this}; }

  auto take_result() {
    std::tuple<T...> values = call_->take();
    if constexpr (sizeof...(T) == 1)
      return std::get<0>(std::move(values));
    else if constexpr (sizeof...(T) > 1)
      return values;
  }
  auto operator co_await() && { return awaiter<asio_operation>(std::move(*this)); }

 private:
  Start start_;
  std::shared_ptr<asio_call<T...>> call_;
};

// Begins the operation with what its call was given, and notes how it is stopped.
template <class Initiation, class... Given>
struct asio_start {
  template <class Call, class Handler>
  void operator()(Call& call, Handler handler) {
    if constexpr (requires { initiation.get_executor(); })
      call.stop = [&call, executor = initiation.get_executor()] {
        asio::dispatch(executor, [held = call.shared_from_this(), &call] {
          call.cancellation.emit(asio::cancellation_type::terminal);
        });
      };
    else
      call.stop = [&call] { call.cancellation.emit(asio::cancellation_type::terminal); };
    std::apply([&](auto&... each) { std::move(initiation)(std::move(handler), std::move(each)...); }, given);
  }

  Initiation initiation;
  std::tuple<Given...> given;
};

template <class... T>
struct asio_values {
  template <class Initiation, class... Given>
  static auto initiate(Initiation&& initiation, use_task_t, Given&&... given) {
    using start = asio_start<std::decay_t<Initiation>, std::decay_t<Given>...>;
    return asio_operation<start, T...>(start{std::forward<Initiation>(initiation), {std::forward<Given>(given)...}});
  }
};

}  // namespace detail

}  // namespace perilune

template <class R, class... T>
class asio::async_result<perilune::use_task_t, R(T...)> : public perilune::detail::asio_values<std::decay_t<T>...> {};
template <class R, class... T>
class asio::async_result<perilune::use_task_t, R(asio::error_code, T...)>
    : public perilune::detail::asio_values<std::decay_t<T>...> {};
template <class R, class... T>
class asio::async_result<perilune::use_task_t, R(std::exception_ptr, T...)>
    : public perilune::detail::asio_values<std::decay_t<T>...> {};
