// See wait_name.hpp.
#include "wait_name.hpp"

#include <perilune/operation.hpp>

namespace perilune {

std::string name_of_wait(const task_header& task) {
  if (task.status == task_state::ready) return "yield";
  if (task.selecting) return "select";
  if (task.is(task_header::trait::uninterruptible) || task.status == task_state::closing || !task.op)
    return "the end of its children";
  const wait_description wait = task.op->describe();
  return std::string(wait.verb) + " on a " + wait.resource;
}

}  // namespace perilune
