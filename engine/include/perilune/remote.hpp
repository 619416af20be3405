// Tasks on other workers: spawn_on() from any thread, and the handle that waits for the end from anywhere.
//
// The body runs on the named worker, a root task there; what it was given moves with it, and its outcome comes back. Between
// the two there are only messages. The runtime lives longer than the handles.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>

#include <perilune/runtime.hpp>
#include <perilune/shared_event.hpp>
#include <perilune/thread_channel.hpp>

namespace perilune {

namespace detail {

template <class T>
class remote_end {
 public:
  // The other worker's thread, once.
  void finish(outcome<T>&& how) {
    body = nullptr;
    end = std::move(how);
    done.set_value();
    over->happen();
  }

  const std::shared_ptr<shared_event> over = std::make_shared<shared_event>();
  std::promise<void> done;
  outcome<T> end;               // whoever's who has seen that it is over
  task_header* body = nullptr;  // the other worker's
};

// Held by the other side alone: when that lets go of it, however it got there, the task is over.
template <class T>
class remote_body {
 public:
  remote_body(std::shared_ptr<remote_end<T>> end, std::string name) noexcept
      : end_(std::move(end)), name_(std::move(name)) {}
  remote_body(const remote_body&) = delete;
  remote_body& operator=(const remote_body&) = delete;
  ~remote_body() { end_->finish(task_ && task_.settled() ? take_along(std::move(task_).take()) : never_ran()); }

  static perilune::task<void> run(std::shared_ptr<remote_body> self, perilune::task<T> body) {
    self->task_ = spawn(std::move(body));
    if (!self->name_.empty()) self->task_.header().name = self->name_.c_str();
    self->end_->body = &self->task_.header();
    co_await self->task_.join();
  }

 private:
  // Reasons stay on their worker.
  static outcome<T> take_along(outcome<T>&& from) {
    if (!from.cancelled() || !from.reason()) return std::move(from);
    const cancel_reason& why = *from.reason();
    return outcome<T>(reason_ptr::make(why.source, why.text, why.by_task, why.by_name));
  }
  static outcome<T> never_ran() {
    return outcome<T>(reason_ptr::make(cancel_source::shutdown, "the worker has shut down"));
  }

  std::shared_ptr<remote_end<T>> end_;
  const std::string name_;
  task_handle<T> task_;
};

}  // namespace detail

// Waits for the outcome of a task of another worker, and takes it: once.
template <class T>
class remote_join_operation final : public event_wait {
 public:
  explicit remote_join_operation(std::shared_ptr<detail::remote_end<T>> of)
      : event_wait(of->over, {"join", "task", of.get()}), of_(std::move(of)) {}
  remote_join_operation(remote_join_operation&&) noexcept = default;
  ~remote_join_operation() = default;
  outcome<T> take_result() noexcept { return std::move(of_->end); }

 private:
  std::shared_ptr<detail::remote_end<T>> of_;
};

// A task of another worker, for its one owner. Dropping it leaves the task running.
template <class T>
class remote_task {
 public:
  remote_task() noexcept = default;
  remote_task(runtime& rt, unsigned worker, std::shared_ptr<detail::remote_end<T>> end) noexcept
      : runtime_(&rt), worker_(worker), end_(std::move(end)) {}
  remote_task(remote_task&&) noexcept = default;
  remote_task& operator=(remote_task&&) noexcept = default;
  ~remote_task() = default;

  // Whether it has ended. Any thread.
  bool settled() const noexcept { return end_->over->happened(); }
  // Waits for the outcome, on any worker, and yields it: once. Cancelled, it leaves the task running.
  auto join() const { return detail::awaiter<remote_join_operation<T>>(std::in_place, end_); }
  remote_join_operation<T> join_op() const { return remote_join_operation<T>(end_); }
  // The same for a thread that runs no tasks. Throws kind misuse on a worker.
  outcome<T> wait() const {
    detail::check_may_block("wait");
    end_->done.get_future().wait();
    return std::move(end_->end);
  }
  // Asks for cancellation, and returns. Any thread.
  void cancel(std::string reason = {}) const {
    runtime_->post(worker_, [end = end_, text = std::move(reason)] {
      if (end->body && !end->body->settled())
        perilune::cancel(*end->body, reason_ptr::make(cancel_source::cancel, text));
    });
  }

 private:
  runtime* runtime_ = nullptr;
  unsigned worker_ = 0;
  std::shared_ptr<detail::remote_end<T>> end_;
};

// Runs `body` on a worker, 0 to workers() - 1. Any thread. A worker that has shut down ends it as cancelled.
template <class T>
remote_task<T> spawn_on(runtime& rt, unsigned worker, task<T> body, std::string name = {}) {
  detail::check_spawnable(static_cast<bool>(body));
  auto end = std::make_shared<detail::remote_end<T>>();
  auto other_side = std::make_shared<detail::remote_body<T>>(end, std::move(name));
  auto carried = std::make_shared<task<void>>(detail::remote_body<T>::run(std::move(other_side), std::move(body)));
  rt.post(worker, [carried = std::move(carried)] { spawn(std::move(*carried)); });
  return remote_task<T>(rt, worker, std::move(end));
}

}  // namespace perilune
