// Walking the tasks below a node of the cancellation tree: Lua tasks, and those of the engine that work for one, such as a
// process being run. One worker only.
#pragma once

#include <perilune/cancel.hpp>
#include <perilune/task_header.hpp>

#include "lua_task.hpp"

namespace perilune {

// The Lua task of this VM that this one is, or nullptr.
inline lua_task* to_lua_task(task_header& task, const vm& v) noexcept {
  auto* found = dynamic_cast<lua_task*>(&task);
  return found && found->host == &v ? found : nullptr;
}

// Calls `visit` for every task directly below: those of the node and of the scopes that its task has open.
template <class F>
void for_each_child(cancel_node& node, F visit) {
  for (cancel_node* child = node.children.front(); child; child = node.children.after(*child)) {
    if (child->has(cancel_node::is_task))
      visit(child->owner());
    else
      for_each_child(*child, visit);
  }
}

}  // namespace perilune
