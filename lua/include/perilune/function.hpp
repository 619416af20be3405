// Functions of the host's that scripts call: their arguments, and their ends. The templates here turn a function of typed
// parameters into the form that the library calls; no exception and no RTTI is needed for that.
//
// Arguments are checked before the function runs; what does not fit raises at the script's line and names the argument, what was
// expected and what came. A C++ exception that leaves a function becomes an error of the calling task.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <perilune/error.hpp>
#include <perilune/task.hpp>
#include <perilune/value.hpp>

namespace perilune {

namespace detail {

class call_frame;    // one call of a native function
class pending_call;  // one asynchronous call

std::size_t argument_count(const call_frame& frame) noexcept;
value_type argument_type(const call_frame& frame, std::size_t index) noexcept;
// Read an argument, counted from 0. False, and the call fails, where it is something else.
bool read_argument(call_frame& frame, std::size_t index, bool& to);
bool read_argument(call_frame& frame, std::size_t index, double& to);
bool read_argument(call_frame& frame, std::size_t index, std::int64_t& to);
bool read_argument(call_frame& frame, std::size_t index, std::string_view& to);
bool read_argument(call_frame& frame, std::size_t index, value& to);
// The call fails of this argument.
void refuse_argument(call_frame& frame, std::size_t index, const char* expected);
void fail_call(call_frame& frame, error problem);
// Add a result.
void push_result(call_frame& frame, std::nullptr_t);
void push_result(call_frame& frame, bool b);
void push_result(call_frame& frame, std::int64_t i);
void push_result(call_frame& frame, double d);
void push_result(call_frame& frame, value v);

// What the library calls and in the end destroys.
struct native_function {
  void (*call)(void* context, call_frame& frame) = nullptr;
  void (*destroy)(void* context) noexcept = nullptr;
  void* context = nullptr;
};

}  // namespace detail

// The arguments of a call, for functions that take any. A view: valid until the function has returned. Thread of the host.
class args {
 public:
  explicit args(detail::call_frame& frame) noexcept : frame_(&frame) {}

  // How many there are, and of which type. nil beyond the last.
  std::size_t size() const noexcept { return detail::argument_count(*frame_); }
  value_type type(std::size_t index) const noexcept { return detail::argument_type(*frame_, index); }
  // The argument, counted from 0. Where it is no T the call fails, whatever the function does then, and this is T().
  template <class T>
  T get(std::size_t index) const;
  value operator[](std::size_t index) const { return get<value>(index); }
  // All of them.
  value_list all() const {
    value_list list;
    for (std::size_t i = 0; i < size(); ++i) list.push_back((*this)[i]);
    return list;
  }
  detail::call_frame& frame() const noexcept { return *frame_; }
  // The call fails with this error.
  void fail(error problem) const { detail::fail_call(*frame_, std::move(problem)); }

 private:
  detail::call_frame* frame_;
};

// The end of an asynchronous call. Copies are the same end. Every member for any thread, also when the task, the call or the host
// is gone: what comes too late is refused. When the last copy goes without an end, the call fails and says so.
class completion {
 public:
  explicit completion(std::shared_ptr<detail::pending_call> call);

  // Ends the call: the script goes on with these results. False when it has ended already or nobody waits any more.
  template <class... T>
  bool resolve(T&&... results) const {
    value_list list;
    (list.push_back(to_value(std::forward<T>(results))), ...);
    return resolve_all(std::move(list));
  }
  bool resolve_all(value_list results) const;
  // Ends the call: it raises this error in the script.
  bool fail(error problem) const;
  bool fail(std::string message) const { return fail(error{error_kind::error, std::move(message), 0, {}}); }
  // `fn` is called once if the calling task is cancelled before the end: on the host's thread, or at once when it already was.
  // It must not drive the host.
  void on_cancel(std::function<void()> fn) const;
  // Nobody waits any more.
  bool cancelled() const noexcept;

 private:
  struct last_copy;
  std::shared_ptr<last_copy> end_;
};

namespace detail {

template <class T>
concept scalar_argument = std::same_as<T, bool> || std::floating_point<T> || std::integral<T> ||
                          std::same_as<T, std::string> || std::same_as<T, std::string_view>;

template <class T>
struct is_shared : std::false_type {};
template <class T>
struct is_shared<std::shared_ptr<T>> : std::true_type {
  using object = T;
};
template <class T>
struct is_result : std::false_type {};
template <class T>
struct is_result<result<T>> : std::true_type {};
template <class T>
struct is_tuple : std::false_type {};
template <class... T>
struct is_tuple<std::tuple<T...>> : std::true_type {};

template <class T>
bool read(call_frame& frame, std::size_t index, T& to) {
  if constexpr (std::same_as<T, bool> || std::same_as<T, std::string_view>) {
    return read_argument(frame, index, to);
  } else if constexpr (std::same_as<T, std::string>) {
    std::string_view text;
    if (!read_argument(frame, index, text)) return false;
    to = text;
    return true;
  } else if constexpr (std::floating_point<T>) {
    double d = 0;
    if (!read_argument(frame, index, d)) return false;
    to = static_cast<T>(d);
    return true;
  } else if constexpr (std::integral<T>) {
    std::int64_t i = 0;
    if (!read_argument(frame, index, i)) return false;
    if (!std::in_range<T>(i)) return refuse_argument(frame, index, conversion<T>::expected), false;
    to = static_cast<T>(i);
    return true;
  } else {
    value v;
    if (!read_argument(frame, index, v)) return false;
    auto got = v.as<T>();
    if (!got) return refuse_argument(frame, index, conversion<T>::expected), false;
    to = *std::move(got);
    return true;
  }
}

// How a parameter of the function is kept while the others are read, and what it gets.
template <class P>
struct parameter {
  using bare = std::remove_cvref_t<P>;
  bare kept{};
  bool take(call_frame& frame, std::size_t& index, const completion*) { return read(frame, index++, kept); }
  bare&& give() { return std::move(kept); }
};
template <class P>
  requires std::same_as<std::remove_cvref_t<P>, args>
struct parameter<P> {
  call_frame* frame = nullptr;
  bool take(call_frame& f, std::size_t&, const completion*) { return frame = &f, true; }
  args give() { return args(*frame); }
};
template <class P>
  requires std::same_as<std::remove_cvref_t<P>, completion>
struct parameter<P> {
  const completion* done = nullptr;
  bool take(call_frame&, std::size_t&, const completion* end) { return done = end, true; }
  completion give() { return *done; }
};
// A reference to an object of a class of the host's: the script holds it meanwhile.
template <class P>
  requires(std::is_lvalue_reference_v<P> && std::is_class_v<std::remove_cvref_t<P>> &&
           !requires { conversion<std::remove_cvref_t<P>>::expected; })
struct parameter<P> {
  std::shared_ptr<std::remove_cvref_t<P>> kept;
  bool take(call_frame& frame, std::size_t& index, const completion*) { return read(frame, index++, kept); }
  std::remove_cvref_t<P>& give() { return *kept; }
};

template <class R>
void give_result(call_frame& frame, R&& r) {
  using bare = std::remove_cvref_t<R>;
  if constexpr (is_result<bare>::value) {
    if (!r)
      fail_call(frame, std::forward<R>(r).error());
    else
      give_result(frame, *std::forward<R>(r));
  } else if constexpr (is_tuple<bare>::value) {
    std::apply([&](auto&&... each) { (give_result(frame, std::move(each)), ...); }, std::forward<R>(r));
  } else if constexpr (std::same_as<bare, bool>) {
    push_result(frame, r);
  } else if constexpr (std::integral<bare>) {
    push_result(frame, static_cast<std::int64_t>(r));
  } else if constexpr (std::floating_point<bare>) {
    push_result(frame, static_cast<double>(r));
  } else if constexpr (!std::same_as<bare, unit>) {
    push_result(frame, to_value(std::forward<R>(r)));
  }
}

// The parameters of a callable.
template <class F>
struct signature : signature<decltype(&F::operator())> {};
template <class R, class... P>
struct signature<R (*)(P...)> {
  using result = R;
  using parameters = std::tuple<parameter<P>...>;
};
template <class R, class... P>
struct signature<R (*)(P...) noexcept> : signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct signature<R (C::*)(P...)> : signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct signature<R (C::*)(P...) const> : signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct signature<R (C::*)(P...) noexcept> : signature<R (*)(P...)> {};
template <class C, class R, class... P>
struct signature<R (C::*)(P...) const noexcept> : signature<R (*)(P...)> {};

// Reads the arguments and calls `fn` with them, if all fit; `then` gets what it returned.
template <class F, class Then>
void call_typed(F& fn, call_frame& frame, const completion* done, Then then) {
  typename signature<F>::parameters kept;
  std::size_t index = 0;
  const bool fit = std::apply([&](auto&... each) { return (each.take(frame, index, done) && ...); }, kept);
  if (!fit) return;
  std::apply(
      [&](auto&... each) {
        if constexpr (std::is_void_v<typename signature<F>::result>)
          fn(each.give()...);
        else
          then(fn(each.give()...));
      },
      kept);
}

template <class F>
native_function wrap(F fn) {
  return {[](void* context, call_frame& frame) {
            call_typed(*static_cast<F*>(context), frame, nullptr,
                       [&](auto&& r) { give_result(frame, std::forward<decltype(r)>(r)); });
          },
          [](void* context) noexcept { delete static_cast<F*>(context); }, new F(std::move(fn))};
}

// The end of an asynchronous call that is about to begin.
completion completion_of(call_frame& frame);
template <class F>
native_function wrap_async(F fn) {
  return {[](void* context, call_frame& frame) {
            const completion done = completion_of(frame);
            call_typed(*static_cast<F*>(context), frame, &done, [](auto&&) {});
          },
          [](void* context) noexcept { delete static_cast<F*>(context); }, new F(std::move(fn))};
}

// The calling task goes on when this coroutine, a task of its own below it, has ended.
void await_in_call(call_frame& frame, task<value_list> body);
template <class T>
task<value_list> with_values(task<T> body) {
  value_list list;
  if constexpr (std::is_void_v<T>) {
    co_await body;
  } else {
    T returned = co_await body;
    list.push_back(to_value(std::move(returned)));
  }
  co_return list;
}
template <class F>
native_function wrap_task(F fn) {
  return {[](void* context, call_frame& frame) {
            call_typed(*static_cast<F*>(context), frame, nullptr,
                       [&](auto&& body) { await_in_call(frame, with_values(std::forward<decltype(body)>(body))); });
          },
          [](void* context) noexcept { delete static_cast<F*>(context); }, new F(std::move(fn))};
}

}  // namespace detail

template <class T>
T args::get(std::size_t index) const {
  T to{};
  if (!detail::read(*frame_, index, to)) return T();
  return to;
}

}  // namespace perilune
