// What a worker does about tasks that cannot end: those that outlive the grace after their cancellation, and those that
// wait for what nothing can bring. See worker.hpp.
#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "waits_for.hpp"
#include "worker.hpp"

namespace perilune::detail {

namespace {

cancel_node* next_in_tree(cancel_node& root, cancel_node& node) noexcept {
  if (!node.children.empty()) return node.children.front();
  for (cancel_node* at = &node; at != &root; at = at->parent)
    if (cancel_node* sibling = at->parent->children.after(*at)) return sibling;
  return nullptr;
}

// A line for each, and one for a cycle among them, which a chain of waits may hide that is too long to be searched each time.
std::string report_of(const std::vector<task_header*>& waiting) {
  std::string report;
  for (const task_header* task : waiting) report += "  " + describe_waiting(*task) + "\n";
  for (task_header* task : waiting) {
    const wait_cycle cycle = cycle_through(*task);
    if (!cycle.empty()) return report + "  cycle: " + describe_cycle(cycle) + "\n";
  }
  return report;
}

bool joins(const task_header& task) { return !task.selecting && std::string_view(task.op->describe().verb) == "join"; }

// Whether this wait would go on although it were interrupted, as that for a call elsewhere does.
bool holds_on(task_header& task) { return !task.selecting && task.op && task.op->holds(task); }

bool began_before(const task_header* a, const task_header* b) {
  return std::tie(a->stamp, a->id) < std::tie(b->stamp, b->id);
}

// The ages of cancellations are kept in 32 bits; a longer grace never ends.
constexpr std::uint64_t longest_age = std::numeric_limits<std::uint32_t>::max() / 2;

std::uint64_t grace_ms(const runtime_options& options) noexcept {
  return static_cast<std::uint64_t>(options.grace.count()) / 1'000'000;
}

}  // namespace

void visit_tasks(scheduler& tasks, void (*visit)(task_header&, void*), void* argument) {
  for (cancel_node* root : {&tasks.roots, &tasks.detached})
    for (cancel_node* node = root; node; node = next_in_tree(*root, *node))
      if (node->has(cancel_node::is_task)) visit(node->owner(), argument);
}

// Daemons wait on: the end of those who wait for them, or spawned them, ends them.
std::vector<task_header*> worker::stalled_tasks() {
  std::vector<task_header*> waiting;
  for_each_task(scheduler_, [&](task_header& task) {
    if (task.status == task_state::waiting && !task.is(task_header::trait::uninterruptible)) waiting.push_back(&task);
  });
  const auto is_daemon = [](task_header* task) { return task->in_background(); };
  if (!std::all_of(waiting.begin(), waiting.end(), is_daemon)) std::erase_if(waiting, is_daemon);
  return waiting;
}

// The cycle goes through a call on another VM.
void worker::end_youngest_wait() {
  std::vector<task_header*> waiting = stalled_tasks();
  std::erase_if(waiting, [](task_header* task) { return holds_on(*task); });
  const auto youngest = std::max_element(waiting.begin(), waiting.end(), began_before);
  if (youngest != waiting.end()) scheduler_.interrupt(**youngest, wake_kind::deadlock);
}

// Those who join get the outcomes of the tasks they wait for; where everybody joins, the cycle is broken everywhere.
void worker::break_stall() {
  const std::vector<task_header*> waiting = stalled_tasks();
  if (waiting.empty()) return;
  const bool all_join = std::all_of(waiting.begin(), waiting.end(), [](task_header* task) { return joins(*task); });
  runtime_.report_stall(report_of(waiting));
  for (task_header* task : waiting)
    if (task->status == task_state::waiting && (all_join || !joins(*task)))
      scheduler_.interrupt(*task, wake_kind::deadlock);
}

void worker::task_cancelled(task_header& task) noexcept {
  worker& self = of(*task.home);
  if (!self.driven_) self.look_at_clock();
  task.cancelled_ms = self.scheduler_.now_ms();
  ++self.scheduler_.cancelling_;
  if (!self.sweep_.linked()) self.sweep_in(grace_ms(self.runtime_.options()));
}

void worker::sweep_in(std::uint64_t ms) noexcept {
  if (ms <= longest_age) timers_.insert(sweep_, now_ns() + ms * 1'000'000);
}

void worker::task_ended_cancelled() noexcept {
  if (--scheduler_.cancelling_ == 0 && sweep_.linked()) timers_.erase(sweep_);
}

// Kills tasks that have been cancelled for the whole grace and still hold on, and names those that stand somewhere.
void worker::sweep() noexcept {
  const std::uint64_t grace = grace_ms(runtime_.options());
  std::vector<task_header*> late;
  std::uint64_t next = longest_age + 1;
  for_each_task(scheduler_, [&](task_header& task) {
    if (!task.has(cancel_node::cancelled) || task.has(cancel_node::killed) || task.status == task_state::closing)
      return;
    const std::uint32_t age = scheduler_.now_ms() - task.cancelled_ms;
    if (age >= grace)
      late.push_back(&task);
    else
      next = std::min(next, grace - age);
  });
  for (task_header* task : late) {
    if (!task->is(task_header::trait::uninterruptible)) runtime_.report_overstay(*task);
    kill(*task, reason_ptr::make(cancel_source::grace, "did not end within the grace", 0, "runtime"));
  }
  sweep_in(next);
}

}  // namespace perilune::detail
