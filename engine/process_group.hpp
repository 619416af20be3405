// Whether anybody of a process group still runs.
//
// A process that adopts orphans (a subreaper, the first one of a container) has among its children the dead of the groups that it has
// started. Who asks whether a group is over reaps them, so that none pile up: its leader must have been reaped before.
#pragma once

#include <cstddef>

#include <sys/types.h>

namespace perilune::detail {

// Something answers to the group's number: running processes, and those that ended and are for others to reap.
bool group_answers(pid_t group) noexcept;

// A process of the group runs. Reads /proc where the group answers, since a parent that reaps late or never keeps dead
// members in it; without /proc what answers counts as running.
bool group_runs(pid_t group) noexcept;

// How many processes of the group run; 1 without /proc where anything answers. Reaps nobody.
std::size_t group_members(pid_t group) noexcept;

}  // namespace perilune::detail
