// Walking the tasks below a node of the cancellation tree. One worker only.
#pragma once

#include <perilune/cancel.hpp>
#include <perilune/task_header.hpp>

namespace perilune {

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
