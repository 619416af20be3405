// select(ops...): waits for several operations and commits exactly one. The others are withdrawn as if never tried.
// Among ready operations the choice is uniform, drawn from the worker's seeded generator.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <perilune/select_wait.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {

// What a variant can hold of what an operation yields.
template <class R>
using held_result = std::conditional_t<std::is_reference_v<R>, std::reference_wrapper<std::remove_reference_t<R>>, R>;

template <class... Ops>
class select_awaiter {
 public:
  using results = std::variant<held_result<decltype(std::declval<Ops&>().take_result())>...>;
  static constexpr std::size_t count = sizeof...(Ops);

  select_awaiter(bool biased, Ops... ops) : ops_(std::move(ops)...), biased_(biased) {}
  select_awaiter(const select_awaiter&) = delete;
  select_awaiter& operator=(const select_awaiter&) = delete;

  bool await_ready() {
    scheduler& tasks = *scheduler::here();
    if (!tasks.spend()) return false;
    tried_ = true;
    return try_all(tasks);
  }
  void await_suspend(std::coroutine_handle<> from) {
    scheduler& tasks = *scheduler::here();
    coroutine_task& self = coroutine_task::running();
    self.leaf = from;
    if (tried_)
      park(tasks, self);
    else
      tasks.yield_then_try(self, whole_);
    waited_ = true;
  }
  // The results of the arm that committed; index() says which.
  results await_resume() {
    task_header& self = *scheduler::here()->current();
    const bool parked = self.selecting == &wait_;
    if (parked) self.selecting = nullptr;
    if (waited_ && self.woken_by != wake_kind::granted) raise_wait(whole_);
    if (parked) chosen_ = wait_.winner();
    return take(std::make_index_sequence<count>{});
  }

 private:
  // The select as one operation: what a task retries after its budget was spent.
  class whole final : public operation {
   public:
    explicit whole(select_awaiter& s) noexcept : select_(s) {}
    bool try_commit(waiter&) override { return select_.try_all(*scheduler::here()); }
    void arm(waiter&) override { select_.park(*scheduler::here(), coroutine_task::running()); }
    void disarm(waiter&) noexcept override {}
    bool give_back(waiter&) noexcept override { return false; }
    wait_description describe() const noexcept override { return {"select", "operations", &select_}; }

   private:
    select_awaiter& select_;
  };

  void park(scheduler& tasks, task_header& self) {
    wait_.assign(arms_.data(), count);
    wait_.arm();
    self.become(wait_state::idle);
    tasks.park_select(self, wait_);
  }

  template <std::size_t... I>
  void set_arms(task_header& self, std::index_sequence<I...>) {
    ((arms_[I].task = &self, arms_[I].op = &std::get<I>(ops_)), ...);
  }
  // Tries the arms, each once: in order, or in one that is as likely as any other.
  bool try_all(scheduler& tasks) {
    set_arms(*tasks.current(), std::make_index_sequence<count>{});
    std::array<std::uint16_t, count> order;
    for (std::size_t i = 0; i < count; ++i) order[i] = static_cast<std::uint16_t>(i);
    for (std::size_t i = 0; i < count; ++i) {
      if (!biased_) std::swap(order[i], order[i + tasks.random_below(count - i)]);
      chosen_ = order[i];
      if (arms_[chosen_].op->try_commit(arms_[chosen_])) return true;
    }
    return false;
  }
  template <std::size_t... I>
  results take(std::index_sequence<I...>) {
    using taker = results (*)(select_awaiter&);
    static constexpr taker takers[] = {
        [](select_awaiter& s) { return results(std::in_place_index<I>, std::get<I>(s.ops_).take_result()); }...};
    return takers[chosen_](*this);
  }

  std::tuple<Ops...> ops_;
  std::array<waiter, count> arms_;
  select_wait wait_;
  whole whole_{*this};
  std::size_t chosen_ = 0;
  bool biased_;
  bool tried_ = false;
  bool waited_ = false;
};

}  // namespace detail

// Yields std::variant of the arms' results; of a join it holds a std::reference_wrapper to the outcome, which lives as long
// as a handle. Operations are moved in.
template <class... Ops>
auto select(Ops... ops) {
  static_assert(sizeof...(Ops) > 0, "select needs at least one operation");
  return detail::select_awaiter<Ops...>(false, std::move(ops)...);
}

// As select, but among ready operations the first listed is taken.
template <class... Ops>
auto select_biased(Ops... ops) {
  static_assert(sizeof...(Ops) > 0, "select needs at least one operation");
  return detail::select_awaiter<Ops...>(true, std::move(ops)...);
}

}  // namespace perilune
