// The walk that carries a cancellation through the tree. See cancel.hpp.
#include <perilune/cancel.hpp>

#include "worker.hpp"

namespace perilune {

const char* to_string(cancel_source source) noexcept {
  constexpr const char* names[] = {"cancel", "timeout", "scope",    "signal", "shutdown",
                                   "parent", "grace",   "watchdog", "limit"};
  return names[static_cast<unsigned char>(source)];
}

void reason_ptr::drop(cancel_reason* last) noexcept { delete last; }

reason_ptr reason_ptr::make(cancel_source source, std::string text, std::uint64_t by_task, std::string by_name) {
  auto* reason = new cancel_reason;
  reason->source = source;
  reason->text = std::move(text);
  reason->by_task = by_task;
  reason->by_name = std::move(by_name);
  return reason_ptr(reason);
}

void cancel_node::detach() noexcept {
  if (has(cancelled) && !has(requested)) {
    reason = reason_in_force();
    set(requested);
  }
  if (counts()) parent->drop_child_task();
  parent->children.erase(*this);
  parent = nullptr;
}

task_header& cancel_node::owner() const noexcept {
  if (has(is_task)) return const_cast<task_header&>(static_cast<const task_header&>(*this));
  return *static_cast<const scope_node*>(this)->owner_task();
}

const reason_ptr& cancel_node::reason_in_force() const noexcept {
  static const reason_ptr none;
  for (const cancel_node* node = this; node; node = node->parent)
    if (node->has(requested)) return node->reason;
  return none;
}

std::optional<std::uint64_t> cancel_node::deadline_in_force() const noexcept {
  std::optional<std::uint64_t> earliest;
  for (const cancel_node* node = this; node; node = node->parent) {
    if (node->has(is_task) || node->has(is_root)) continue;
    const auto own = static_cast<const scope_node*>(node)->deadline();
    if (own && (!earliest || *own < *earliest)) earliest = own;
    if (node->has(shielded)) break;
  }
  return earliest;
}

void cancel_node::expire_overdue(std::uint64_t now_ns) noexcept {
  for (cancel_node* node = this; node; node = node->parent) {
    if (node->has(is_task) || node->has(is_root)) continue;
    auto& scope = *static_cast<scope_node*>(node);
    if (const auto deadline = scope.deadline(); deadline && *deadline <= now_ns) {
      scope.clear_deadline();
      scope.expire();
    }
    if (node->has(shielded)) break;
  }
}

namespace {

// Pre-order successor of `node` inside the subtree of `root`, without descending when `prune` is set.
cancel_node* successor(cancel_node& root, cancel_node& node, bool prune) noexcept {
  if (!prune && !node.children.empty()) return node.children.front();
  for (cancel_node* at = &node; at != &root; at = at->parent)
    if (cancel_node* sibling = at->parent->children.after(*at)) return sibling;
  return nullptr;
}

// Carries marks to `root` and all below it, except where a shield stops them or they have been before.
void reach(cancel_node& root, std::uint32_t marks) noexcept {
  const bool killing = (marks & cancel_node::killed) != 0;
  for (cancel_node* node = &root; node;) {
    const bool stops = node != &root && node->has(cancel_node::shielded) && !killing;
    const bool known = (node->flags & marks) == marks;
    if (!stops && !known) node->receive(marks);
    node = successor(root, *node, stops || known);
  }
}

void request(cancel_node& root, reason_ptr reason, std::uint32_t marks) noexcept {
  if ((root.flags & marks) == marks) return;
  if (!root.has(cancel_node::cancelled)) {
    root.reason = std::move(reason);
    root.set(cancel_node::requested);
  }
  reach(root, marks);
}

// The cancellation state of the innermost node, kept in the header where every switch looks.
void note_innermost(task_header& task) noexcept {
  if (!task.top->has(cancel_node::cancelled)) return task.unmark(task_header::trait::cancel_seen);
  task.mark(task_header::trait::cancel_seen);
  task.home->end_slice(task);
}

}  // namespace

void cancel_node::attach_to(cancel_node& above) noexcept {
  parent = &above;
  above.children.push_back(*this);
  if (counts()) above.add_child_task();
  if (!above.has(cancelled)) return;
  if (above.has(killed))
    reach(*this, cancelled | killed);
  else if (!has(shielded))
    reach(*this, cancelled);
}

void cancel_node::receive(std::uint32_t marks) noexcept {
  const bool first = !has(cancelled);
  flags |= marks;
  if (has(is_root)) return;
  task_header& task = owner();
  if (first && has(is_task)) detail::worker::task_cancelled(task);
  if (task.top != this) return;
  task.mark(task_header::trait::cancel_seen);
  task.home->deliver_cancel(task);
}

void cancel(cancel_node& node, reason_ptr reason) noexcept { request(node, std::move(reason), cancel_node::cancelled); }

void kill(cancel_node& node, reason_ptr reason) noexcept {
  request(node, std::move(reason), cancel_node::cancelled | cancel_node::killed);
}

void scope_node::enter(task_header& task, bool shield) noexcept {
  owner_ = &task;
  if (shield) set(shielded);
  attach_to(*task.top);
  task.top = this;
  note_innermost(task);
}

void scope_node::hang_below(task_header& task) noexcept {
  owner_ = &task;
  set(is_set);
  attach_to(*task.top);
}

void scope_node::pass_on(cancel_node& child) noexcept {
  cancel_node& above = *parent;
  child.detach();
  child.attach_to(above);
  if (!child.has(is_task)) return;
  child.owner().unmark(task_header::trait::member);
  if (child.owner().is(task_header::trait::daemon)) above.set(has_daemons);
}

void scope_node::leave() noexcept {
  if (!owner_) return;
  clear_deadline();
  while (cancel_node* child = children.front()) pass_on(*child);
  cancel_node& above = *parent;
  detach();
  task_header& task = *std::exchange(owner_, nullptr);
  if (task.top != this) return;
  task.top = &above;
  note_innermost(task);
}

scope_node::~scope_node() { leave(); }

void scope_node::set_deadline(std::uint64_t deadline_ns) noexcept {
  clear_deadline();
  deadline_.scope = this;
  deadline_.kind = static_cast<std::uint8_t>(timer_kind::deadline);
  detail::worker::of(*owner_->home).timers().insert(deadline_, deadline_ns);
}

void scope_node::clear_deadline() noexcept {
  if (deadline_.linked()) detail::worker::of(*owner_->home).timers().erase(deadline_);
}

void scope_node::expire() noexcept {
  timed_out_ = true;
  cancel(*this, reason_ptr::make(cancel_source::timeout, {}, owner_->id, "timeout"));
}

}  // namespace perilune
