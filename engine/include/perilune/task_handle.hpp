// task_handle<T>: a view of a spawned task that keeps its outcome. Copies share it. It may outlive its task and even its
// runtime; while the task lives it stays on the task's worker.
#pragma once

#include <string>
#include <utility>

#include <perilune/coroutine_task.hpp>

namespace perilune {

namespace detail {
// Throws kind misuse where `by` must not wait for `target`: itself, or a task of another worker.
void check_joinable(const task_header& target, const task_header& by);
// Asks as the running task, if there is one.
void cancel_from_here(task_header& task, std::string text);
}  // namespace detail

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
  // Of a handle that is not empty.
  std::uint64_t id() const noexcept { return task_->id; }
  task_state state() const noexcept { return task_->status; }
  bool settled() const noexcept { return task_->settled(); }
  task_header& header() const noexcept { return *task_; }

  // Asks the task to end. Returns at once; idempotent; without effect on a settled task.
  void cancel(std::string text = {}) const {
    if (!settled()) detail::cancel_from_here(*task_, std::move(text));
  }
  // Moves the task out of its parent's subtree: it outlives the parent.
  void detach() const noexcept {
    if (!settled()) task_->home->release_from_parent(*task_);
  }

  // Waits for a task's end, and yields its outcome. Keeps the task's block alive.
  class join_operation final : public operation {
   public:
    // Of this task.
    explicit join_operation(const task_handle& task) noexcept : task_(task) {}
    bool try_now(waiter& by) {
      if (task_.settled()) return true;
      detail::check_joinable(task_.header(), *by.task);
      return false;
    }
    bool try_commit(waiter& by) override { return try_now(by); }
    void arm(waiter& by) override { task_.header().arm(by); }
    void disarm(waiter& by) noexcept override { task_.header().disarm(by); }
    bool give_back(waiter&) noexcept override { return false; }
    wait_description describe() const noexcept override { return task_.header().describe(); }
    const task_header* held_by() const noexcept override { return &task_.header(); }
    const outcome<T>& take_result() noexcept { return task_.outcome_now(); }

   private:
    task_handle task_;
  };

  // Waits for the outcome; never fails for the task's failure. The reference lives as long as a handle.
  detail::awaiter<join_operation> join() const { return detail::awaiter<join_operation>(std::in_place, *this); }
  join_operation join_op() const { return join_operation(*this); }

  // The outcome of a settled task; marks it as looked at.
  const outcome<T>& outcome_now() const noexcept {
    task_->mark(task_header::trait::observed);
    return task_->end_value;
  }
  outcome<T> take() && {
    task_->mark(task_header::trait::observed);
    return std::move(task_->end_value);
  }

 private:
  detail::typed_task<T>* task_ = nullptr;
};

}  // namespace perilune
