// What a task that has left off is doing, in the words of dumps and traces: `recv on a channel`. Only on the task's worker.
#pragma once

#include <string>

#include <perilune/task_header.hpp>

namespace perilune {

// "yield" for one that is ready again.
std::string name_of_wait(const task_header& task);

}  // namespace perilune
