// Whether anybody of a process group still runs.
#pragma once

#include <cstddef>

#include <sys/types.h>

namespace perilune::detail {

// Something answers to the group's number: running processes, and those that ended and were not reaped.
bool group_answers(pid_t group) noexcept;

// A process of the group runs. Reads /proc where the group answers, since a parent that reaps late or never keeps dead
// members in it; without /proc what answers counts as running.
bool group_runs(pid_t group) noexcept;

// How many processes of the group run; 1 without /proc where anything answers.
std::size_t group_members(pid_t group) noexcept;

}  // namespace perilune::detail
