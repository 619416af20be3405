// The loop of a worker. See worker.hpp.
#include "worker.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/asio.hpp>

#include "reactor.hpp"

namespace perilune::detail {

worker::worker(runtime& owner, unsigned index, const runtime_options& options)
    : runtime_(owner),
      index_(index),
      clock_(owner.time()),
      scheduler_(*this),
      timers_(now_ns()),
      reactor_(options.joined ? std::make_unique<reactor>(options.joined->executor, [this] { drive(); })
                              : std::make_unique<reactor>()),
      origin_ns_(now_ns()) {
  scheduler_.seed(options.seed + index * 0x9E3779B97F4A7C15ULL);
  sweep_.self = this;
  sweep_.kind = static_cast<std::uint8_t>(timer_kind::callback);
  sweep_.fire = [](timer_callback& timer) noexcept { static_cast<sweep_timer&>(timer).self->sweep(); };
}

worker::~worker() = default;

bool worker::post(std::unique_ptr<inbox_message> message) noexcept {
  if (!inbox_.post(std::move(message))) return false;
  if (reactor_->joined() || asleep_.exchange(false)) reactor_->wake();
  return true;
}

bool worker::post_from_signal(inbox_message& message) noexcept {
  if (!inbox_.push(message)) return false;
  if (reactor_->joined() || asleep_.exchange(false)) reactor_->ring();
  return true;
}

void worker::fire_due_timers() {
  const std::uint64_t now = now_ns();
  scheduler_.set_now_ms(static_cast<std::uint32_t>((now - origin_ns_) / 1'000'000));
  if (timers_.empty()) return;
  while (timer_node* timer = timers_.pop_due(now)) {
    switch (static_cast<timer_kind>(timer->kind)) {
      case timer_kind::waiter:
        scheduler_.grant(static_cast<waiter&>(*timer));
        break;
      case timer_kind::deadline:
        static_cast<scope_node::deadline_timer*>(timer)->scope->expire();
        break;
      case timer_kind::callback: {
        auto& callback = static_cast<timer_callback&>(*timer);
        callback.fire(callback);
        break;
      }
    }
  }
}

void worker::poll_io() {
  scheduler::entered guard(scheduler_);
  reactor_->poll();
}

// A batch may be short; the system is asked once in fair_interval resumes, and when nothing is left to run.
void worker::poll_io_now_and_then() {
  const std::uint64_t resumes = scheduler_.resumes();
  if (resumes - polled_at_ < scheduler::fair_interval && !scheduler_.idle()) return;
  polled_at_ = resumes;
  reactor_->poll();
}

bool worker::timer_due() const noexcept {
  const auto wake = timers_.next_wake();
  return wake && *wake <= now_ns();
}

bool worker::turn(unsigned batches) {
  scheduler::entered guard(scheduler_);
  bool progressed = false;
  for (; batches; --batches) {
    if (!inbox_.empty() && inbox_.drain()) progressed = true;
    if (external_ || background_) poll_io_now_and_then();
    fire_due_timers();
    if (!scheduler_.run_batch()) break;
    progressed = true;
  }
  return progressed;
}

void worker::run_until(bool (*done)(void*), void* argument) {
  while (!done(argument)) {
    if (turn(1)) continue;
    if (done(argument)) return;
    if (!scheduler_.idle() || advance_virtual_clock()) continue;
    wait_for_work();
  }
}

bool worker::advance_virtual_clock() {
  if (clock_.kind() != clock::mode::virtual_ || external_) return false;
  auto& time = static_cast<virtual_clock&>(clock_);
  if (!time.auto_advance()) return false;
  const auto next = timers_.next_deadline();
  if (!next || *next == timer_queue::never) return false;
  time.jump_to(instant(static_cast<std::int64_t>(*next)));
  return true;
}

void worker::wait_for_work() {
  const bool real = clock_.kind() == clock::mode::steady;
  const auto wake = real ? timers_.next_wake() : std::nullopt;
  const bool wakes = wake && *wake != timer_queue::never;
  if (!wakes && !external_ && scheduler_.live_tasks() && runtime_.workers() == 1 && index_ == 0) return break_stall();
  asleep_.store(true);
  if (!inbox_.empty()) {
    asleep_.store(false);
    return;
  }
  reactor_->wait(wakes ? wake : std::nullopt);
  asleep_.store(false);
}

namespace {

cancel_node* next_in_tree(cancel_node& root, cancel_node& node) noexcept {
  if (!node.children.empty()) return node.children.front();
  for (cancel_node* at = &node; at != &root; at = at->parent)
    if (cancel_node* sibling = at->parent->children.after(*at)) return sibling;
  return nullptr;
}

template <class F>
void for_each_task(cancel_node& root, F visit) {
  for (cancel_node* node = &root; node; node = next_in_tree(root, *node))
    if (node->has(cancel_node::is_task)) visit(node->owner());
}

}  // namespace

void visit_tasks(scheduler& tasks, void (*visit)(task_header&, void*), void* argument) {
  for_each_task(tasks.roots, [&](task_header& task) { visit(task, argument); });
  for_each_task(tasks.detached, [&](task_header& task) { visit(task, argument); });
}

// Nothing can run and nothing can wake anything: every wait that is not for a task ends with kind deadlock, and those
// who join these tasks get their outcomes.
void worker::break_stall() {
  scheduler::entered guard(scheduler_);
  std::string report;
  std::vector<task_header*> stuck;
  const auto look = [&](task_header& task) {
    if (task.status != task_state::waiting || task.is(task_header::trait::uninterruptible)) return;
    report += "  task " + std::to_string(task.id) + (task.name ? std::string(" (") + task.name + ")" : "");
    const bool joins = !task.selecting && std::string_view(task.op->describe().verb) == "join";
    if (task.selecting)
      report += " waits in select";
    else
      report += std::string(" waits in ") + task.op->describe().verb + " on a " + task.op->describe().resource;
    const std::string place = task.where();
    report += place.empty() ? "\n" : " at " + place + "\n";
    if (!joins) stuck.push_back(&task);
  };
  for_each_task(scheduler_.roots, look);
  for_each_task(scheduler_.detached, look);
  if (stuck.empty()) {
    for_each_task(scheduler_.roots, [&](task_header& task) {
      if (task.status == task_state::waiting) stuck.push_back(&task);
    });
  }
  runtime_.report_stall(report);
  for (task_header* task : stuck) scheduler_.interrupt(*task, wake_kind::deadlock);
}

void worker::kick() noexcept {
  if (!reactor_->joined() || kicked_) return;
  kicked_ = true;
  reactor_->wake();
}

void worker::drive() {
  kicked_ = false;
  turn(16);
  if (!scheduler_.idle() || !inbox_.empty()) return kick();
  if (advance_virtual_clock()) return kick();
  if (clock_.kind() != clock::mode::steady) return;
  if (const auto wake = timers_.next_wake(); wake && *wake != timer_queue::never) reactor_->drive_at(*wake);
}

void worker::task_cancelled(task_header& task) noexcept {
  worker& self = of(*task.home);
  task.cancelled_ms = self.scheduler_.now_ms();
  if (self.scheduler_.cancelling_++ == 0 && !self.sweep_.linked()) self.arm_sweep();
}

void worker::arm_sweep() noexcept {
  const auto grace = runtime_.options().grace;
  timers_.insert(sweep_, static_cast<std::uint64_t>(saturating_add(clock_.now(), grace).count()));
}

void worker::task_ended_cancelled() noexcept {
  if (--scheduler_.cancelling_ == 0 && sweep_.linked()) timers_.erase(sweep_);
}

// Kills tasks that have been cancelled for the whole grace and still hold on, and names those that stand somewhere.
void worker::sweep() noexcept {
  const auto grace_ms = static_cast<std::uint32_t>(runtime_.options().grace.count() / 1'000'000);
  std::vector<task_header*> late;
  const auto look = [&](task_header& task) {
    if (!task.has(cancel_node::cancelled) || task.has(cancel_node::killed) || task.status == task_state::closing) return;
    if (scheduler_.now_ms() - task.cancelled_ms >= grace_ms) late.push_back(&task);
  };
  for_each_task(scheduler_.roots, look);
  for_each_task(scheduler_.detached, look);
  for (task_header* task : late) {
    if (!task->is(task_header::trait::uninterruptible)) runtime_.report_overstay(*task);
    kill(*task, reason_ptr::make(cancel_source::grace, "did not end within the grace", 0, "runtime"));
  }
  if (scheduler_.cancelling_) arm_sweep();
}

}  // namespace perilune::detail
