// Who waits for whom, as far as one task alone can end a wait: joins, locks, and a task's wait for its children. A closed
// cycle of such waits that no time limit will cut is a deadlock, whatever else runs. One worker only.
#pragma once

#include <string>
#include <vector>

#include <perilune/task_header.hpp>

namespace perilune::detail {

// The shortest cycle of waits through `start`: each task waits for the next, the last for the first. Empty where there is
// none, where a deadline will cut it, or where more tasks than `longest_search` would have to be looked at. `wanted` is what
// `start` is about to wait for; without it, its present wait counts.
using wait_cycle = std::vector<task_header*>;
wait_cycle cycle_through(task_header& start, const operation* wanted = nullptr);
inline constexpr std::size_t longest_search = 4096;

// One line: each task, what it waits in and for whom, since when and where.
std::string describe_cycle(const wait_cycle& cycle, const operation* wanted = nullptr);

// The same of one waiting task, and where it was spawned.
std::string describe_waiting(const task_header& task);

}  // namespace perilune::detail
