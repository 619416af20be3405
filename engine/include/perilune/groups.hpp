// all, settle, race and map: several coroutines run as children of the calling task, and what they yield as one result.
//
// They are scopes: who is cancelled, who is waited for and what is thrown is decided there (see scope.hpp). Each takes its
// coroutines one by one, of any types, or as a vector of one type. A coroutine that yields nothing counts as yielding a unit.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <perilune/scope.hpp>

namespace perilune {

namespace detail {

template <class T>
using value_of = typename outcome<T>::value_type;

template <class... T>
std::tuple<task_handle<T>...> spawn_into(scope& s, std::tuple<task<T>...>& bodies) {
  return std::apply([&s](auto&... each) { return std::tuple<task_handle<T>...>{s.spawn(std::move(each))...}; }, bodies);
}
template <class T>
std::vector<task_handle<T>> spawn_into(scope& s, std::vector<task<T>>& bodies) {
  std::vector<task_handle<T>> members;
  members.reserve(bodies.size());
  for (task<T>& each : bodies) members.push_back(s.spawn(std::move(each)));
  return members;
}

// What the bodies of a group are once they have ended: all of their handles.
template <class Bodies>
using members_of = decltype(spawn_into(std::declval<scope&>(), std::declval<Bodies&>()));

template <class Bodies>
task<members_of<Bodies>> run_members(scope_policy policy, Bodies bodies) {
  members_of<Bodies> members;
  co_await with_scope(policy, [&](scope& s) -> task<> {
    members = spawn_into(s, bodies);
    co_return;
  });
  co_return members;
}

// Throws a group_error of that one failure.
[[noreturn]] void refuse_cancelled_member(error why);

// A member that was cancelled on its own has no value to give.
template <class T>
value_of<T> take_value(task_handle<T>& member) {
  outcome<T> end = std::move(member).take();
  if (end.returned()) return std::move(end).value();
  refuse_cancelled_member(end.error());
}
template <class... T>
std::tuple<value_of<T>...> take_values(std::tuple<task_handle<T>...>& members) {
  return std::apply([](auto&... each) { return std::tuple<value_of<T>...>{take_value(each)...}; }, members);
}
template <class T>
std::vector<value_of<T>> take_values(std::vector<task_handle<T>>& members) {
  std::vector<value_of<T>> values;
  values.reserve(members.size());
  for (task_handle<T>& each : members) values.push_back(take_value(each));
  return values;
}

template <class... T>
std::tuple<outcome<T>...> take_outcomes(std::tuple<task_handle<T>...>& members) {
  return std::apply([](auto&... each) { return std::tuple<outcome<T>...>{std::move(each).take()...}; }, members);
}
template <class T>
std::vector<outcome<T>> take_outcomes(std::vector<task_handle<T>>& members) {
  std::vector<outcome<T>> outcomes;
  outcomes.reserve(members.size());
  for (task_handle<T>& each : members) outcomes.push_back(std::move(each).take());
  return outcomes;
}

template <class Bodies, class Values = decltype(take_values(std::declval<members_of<Bodies>&>()))>
task<Values> all_of(Bodies bodies) {
  members_of<Bodies> members = co_await run_members(scope_policy::fail_fast, std::move(bodies));
  co_return take_values(members);
}
template <class Bodies, class Outcomes = decltype(take_outcomes(std::declval<members_of<Bodies>&>()))>
task<Outcomes> settle_all(Bodies bodies) {
  members_of<Bodies> members = co_await run_members(scope_policy::supervise, std::move(bodies));
  co_return take_outcomes(members);
}

// Runs a coroutine and makes a W of its value by `wrap`.
template <class W, class T, class F>
task<W> wrapped(task<T> body, F wrap) {
  if constexpr (std::is_void_v<T>) {
    co_await body;
    co_return wrap(unit());
  } else {
    T value = co_await body;
    co_return wrap(std::move(value));
  }
}

template <class W, class Bodies, std::size_t... I>
void spawn_race(any_scope<W>& s, Bodies& bodies, std::index_sequence<I...>) {
  const auto enter = [&s]<std::size_t At, class T>(std::in_place_index_t<At> at, task<T>& body) {
    s.spawn(wrapped<W>(std::move(body), [at](value_of<T> value) { return W(at, std::move(value)); }));
  };
  (enter(std::in_place_index<I>, std::get<I>(bodies)), ...);
}

template <class W, class Bodies>
task<W> race_of(Bodies bodies) {
  auto won = co_await with_any<W>([&](any_scope<W>& s) -> task<> {
    spawn_race(s, bodies, std::make_index_sequence<std::tuple_size_v<Bodies>>());
    co_return;
  });
  co_return std::move(*won);
}

// Throw kind misuse.
void check_contestants(std::size_t count);
void check_concurrency(std::size_t limit);

}  // namespace detail

// Yields all values, in the order of the coroutines, as a std::tuple or a std::vector. The first failure cancels the others;
// then a group_error is thrown.
template <class... T>
auto all(task<T>... bodies) {
  return detail::all_of(std::tuple<task<T>...>(std::move(bodies)...));
}
template <class T>
auto all(std::vector<task<T>> bodies) {
  return detail::all_of(std::move(bodies));
}

// Yields all outcomes, in the order of the coroutines. A failure touches nobody else.
template <class... T>
auto settle(task<T>... bodies) {
  return detail::settle_all(std::tuple<task<T>...>(std::move(bodies)...));
}
template <class T>
auto settle(std::vector<task<T>> bodies) {
  return detail::settle_all(std::move(bodies));
}

// Yields the value of the first to return, as a std::variant whose index() says which. The others are cancelled and have
// ended by then. All fail: a group_error.
template <class... T>
auto race(task<T>... bodies) {
  static_assert(sizeof...(T) > 0, "race needs at least one coroutine");
  return detail::race_of<std::variant<detail::value_of<T>...>>(std::tuple<task<T>...>(std::move(bodies)...));
}

// Which task of a list came first, counted from 0, and what it returned.
template <class T>
struct race_winner {
  std::size_t index;
  typename outcome<T>::value_type value;
};

// As race, for coroutines of one type. Kind misuse when there are none.
template <class T>
task<race_winner<T>> race(std::vector<task<T>> bodies) {
  using winner = race_winner<T>;
  detail::check_contestants(bodies.size());
  auto won = co_await with_any<winner>([&](any_scope<winner>& s) -> task<> {
    for (std::size_t i = 0; i < bodies.size(); ++i)
      s.spawn(detail::wrapped<winner>(std::move(bodies[i]),
                                      [i](detail::value_of<T> value) { return winner{i, std::move(value)}; }));
    co_return;
  });
  co_return std::move(*won);
}

// How many items are at work.
struct map_options {
  // All items at once.
  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);
  std::size_t concurrency = unlimited;  // items at work at a time
};

namespace detail {

// One of the tasks that share the items of a map: takes the next one until none is left.
template <class Items, class F, class T>
task<> map_items(Items& items, F& fn, std::size_t& next, std::vector<std::optional<value_of<T>>>& values) {
  while (next < values.size()) {
    const std::size_t at = next++;
    task<T> body = fn(std::ranges::begin(items)[static_cast<std::ranges::range_difference_t<Items>>(at)]);
    if constexpr (std::is_void_v<T>) {
      co_await body;
      values[at].emplace();
    } else {
      T value = co_await body;
      values[at].emplace(std::move(value));
    }
  }
}

}  // namespace detail

// Runs `fn(item)`, a task<T>, for every item, so many at a time, begun in the order of the items. Yields a vector of the
// values in that order. The first failure cancels the others, and no further one begins; then a group_error is thrown. The
// items are kept until then: pass a view to keep no copy.
template <std::ranges::random_access_range Items, class F,
          class T = typename std::invoke_result_t<F&, std::ranges::range_reference_t<Items>>::result_type>
task<std::vector<typename outcome<T>::value_type>> map(Items items, F fn, map_options options = {}) {
  detail::check_concurrency(options.concurrency);
  const auto count = static_cast<std::size_t>(std::ranges::distance(items));
  std::vector<std::optional<detail::value_of<T>>> values(count);
  std::size_t next = 0;
  std::vector<task<>> workers;
  for (std::size_t i = 0; i < count && i < options.concurrency; ++i)
    workers.push_back(detail::map_items<Items, F, T>(items, fn, next, values));
  co_await all(std::move(workers));
  std::vector<detail::value_of<T>> results;
  results.reserve(count);
  for (auto& each : values) results.push_back(std::move(*each));
  co_return results;
}

}  // namespace perilune
