// select(ops...): waits for several operations and commits exactly one. The others are withdrawn as if never tried.
// Among ready operations the choice is uniform, drawn from the worker's seeded generator.
#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>
#include <variant>

#include <perilune/select_wait.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {

template <class... Ops>
class select_awaiter {
 public:
  using results = std::variant<decltype(std::declval<Ops&>().take_result())...>;
  static constexpr std::size_t count = sizeof...(Ops);

  select_awaiter(bool biased, Ops... ops) : ops_(std::move(ops)...), biased_(biased) {}

  bool await_ready() {
    scheduler& tasks = *scheduler::here();
    if (tasks.current()->cancel_pending() || !tasks.spend()) return false;
    tried_ = true;
    return try_all(tasks);
  }
  bool await_suspend(std::coroutine_handle<> from) {
    scheduler& tasks = *scheduler::here();
    coroutine_task& self = coroutine_task::running();
    self.leaf = from;
    if (!tried_) {
      tasks.yield_then_try(self, whole_);
      return true;
    }
    park(tasks, self);
    return true;
  }
  // The results of the arm that committed; index() says which.
  results await_resume() {
    task_header& self = *scheduler::here()->current();
    if (self.selecting == &wait_) {
      self.selecting = nullptr;
      if (self.woken_by == wake_kind::deadlock) raise_deadlock(whole_);
      chosen_ = wait_.winner();
    }
    return take(std::make_index_sequence<count>{});
  }
  ~select_awaiter() = default;

 private:
  // The select as one operation: what a task retries after its budget was spent.
  class whole final : public operation {
   public:
    explicit whole(select_awaiter& s) noexcept : select_(s) {}
    bool try_commit(waiter&) override { return select_.try_all(*scheduler::here()); }
    void arm(waiter&) override {
      scheduler& tasks = *scheduler::here();
      select_.park(tasks, coroutine_task::running());
    }
    void disarm(waiter&) noexcept override {}
    bool give_back(waiter&) noexcept override { return false; }
    wait_description describe() const noexcept override { return {"select", "operations", &select_}; }

   private:
    select_awaiter& select_;
  };

  void park(scheduler& tasks, task_header& self) {
    set_arms(self, std::make_index_sequence<count>{});
    wait_.assign(arms_.data(), count);
    self.become(wait_state::idle);
    tasks.park_select(self, wait_);
    wait_.arm();
  }

  template <std::size_t... I>
  void set_arms(task_header& self, std::index_sequence<I...>) {
    ((arms_[I].task = &self, arms_[I].op = &std::get<I>(ops_)), ...);
  }
  template <std::size_t... I>
  bool try_arm(std::size_t which, std::index_sequence<I...>) {
    return ((I == which && (arms_[I].op = &std::get<I>(ops_), std::get<I>(ops_).try_commit(arms_[I]))) || ...);
  }
  bool try_all(scheduler& tasks) {
    const std::size_t first = biased_ ? 0 : tasks.random() % count;
    for (std::size_t i = 0; i < count; ++i) {
      chosen_ = (first + i) % count;
      if (try_arm(chosen_, std::make_index_sequence<count>{})) return true;
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
};

}  // namespace detail

// Yields std::variant of the arms' results. Operations are moved in.
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
