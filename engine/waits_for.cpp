// Looking for cycles of waits. See waits_for.hpp.
#include "waits_for.hpp"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include <perilune/coroutine_task.hpp>
#include <perilune/select_wait.hpp>

namespace perilune::detail {

namespace {

bool waits_for_children(const task_header& task) noexcept {
  return task.status == task_state::closing ||
         (task.status == task_state::waiting && task.is(task_header::trait::uninterruptible));
}

// The operation that a task waits in, when that is all it waits for.
const operation* single_wait(const task_header& task) noexcept {
  const bool single = task.status == task_state::waiting && !task.selecting && !waits_for_children(task);
  return single ? task.op : nullptr;
}

// The tasks below a node, and those of the sets that hang there.
template <class F>
void for_each_task_below(cancel_node& node, F visit) {
  for (cancel_node* child = node.children.front(); child; child = node.children.after(*child)) {
    if (child->has(cancel_node::is_task))
      visit(child->owner());
    else if (child->has(cancel_node::is_set))
      for_each_task_below(*child, visit);
  }
}

template <class F>
void for_each_child_awaited(task_header& task, F visit) {
  for (cancel_node* node = task.top;; node = node->parent) {
    if (node->has(cancel_node::draining)) for_each_task_below(*node, visit);
    if (node == &task) return;
  }
}

template <class F>
void for_each_awaited(task_header& task, const operation* wanted, F visit) {
  if (!wanted && waits_for_children(task)) return for_each_child_awaited(task, visit);
  if (!wanted) wanted = single_wait(task);
  const task_header* holder = wanted ? wanted->held_by() : nullptr;
  if (holder) visit(const_cast<task_header&>(*holder));
}

bool will_be_cut(const wait_cycle& cycle) noexcept {
  return std::any_of(cycle.begin(), cycle.end(),
                     [](const task_header* task) { return task->top->deadline_in_force(); });
}

std::string describe_operation(const operation& op) {
  const wait_description wait = op.describe();
  const task_header* holder = op.held_by();
  const std::string text = std::string(wait.verb) + " on ";
  if (holder && wait.object == holder) return text + label_of(*holder);
  if (!holder) return text + "a " + wait.resource;
  const std::string place = op.held_at();
  return text + "a " + wait.resource + " held by " + label_of(*holder) + (place.empty() ? "" : " since " + place);
}

std::string describe_arms(const select_wait& wait) {
  constexpr std::size_t most = 8;
  std::string text = " waits in select (";
  for (std::size_t i = 0; i < wait.size() && i < most; ++i) text += (i ? ", " : "") + describe_operation(*wait[i].op);
  return text + (wait.size() > most ? ", ...)" : ")");
}

std::string describe_place(const task_header& task, bool waits_already) {
  const std::string place = task.where();
  std::string text = place.empty() ? "" : " at " + place;
  char span[48];
  std::snprintf(span, sizeof span, " (for %.3f s)", (task.home->now_ms() - task.stamp) / 1000.0);
  return waits_already ? text + span : text;
}

}  // namespace

wait_cycle cycle_through(task_header& start, const operation* wanted) {
  struct step {
    task_header* task;
    std::size_t from;
  };
  std::vector<step> steps{{&start, 0}};
  std::unordered_set<const task_header*> seen;
  for (std::size_t i = 0; i < steps.size() && steps.size() < longest_search; ++i) {
    bool closed = false;
    for_each_awaited(*steps[i].task, i == 0 ? wanted : nullptr, [&](task_header& next) {
      if (&next == &start)
        closed = true;
      else if (seen.insert(&next).second)
        steps.push_back({&next, i});
    });
    if (!closed) continue;
    wait_cycle cycle;
    for (std::size_t at = i; at != 0; at = steps[at].from) cycle.push_back(steps[at].task);
    cycle.push_back(&start);
    std::reverse(cycle.begin(), cycle.end());
    return will_be_cut(cycle) ? wait_cycle{} : cycle;
  }
  return {};
}

std::string describe_cycle(const wait_cycle& cycle, const operation* wanted) {
  std::string text;
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const task_header& task = *cycle[i];
    const bool about_to = i == 0 && wanted;
    if (i) text += "; ";
    const operation* op = about_to ? wanted : single_wait(task);
    const std::string child = label_of(*cycle[(i + 1) % cycle.size()]);
    text += label_of(task) + (op ? " waits in " + describe_operation(*op) : " waits for its child " + child);
    text += describe_place(task, !about_to);
  }
  return text;
}

std::string describe_waiting(const task_header& task) {
  std::string text = label_of(task);
  if (task.selecting)
    text += describe_arms(*task.selecting);
  else if (const operation* op = single_wait(task))
    text += " waits in " + describe_operation(*op);
  else
    text += " waits for its children";
  const std::string site = task.spawned_at();
  return text + describe_place(task, true) + (site.empty() ? "" : ", spawned at " + site);
}

void refuse_cycle(const waiter& by, const operation& wanted) {
  if (&by != by.task) return;
  const task_header* holder = wanted.held_by();
  if (!holder || holder->status < task_state::waiting || holder->settled()) return;
  const wait_cycle cycle = cycle_through(*by.task, &wanted);
  if (!cycle.empty()) throw task_error({error_kind::deadlock, "deadlock: " + describe_cycle(cycle, &wanted), 0, {}});
}

}  // namespace perilune::detail
