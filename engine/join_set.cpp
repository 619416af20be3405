// What a join set does when members end or leave. See join_set.hpp.
#include <perilune/join_set.hpp>

namespace perilune {

task_header* join_set_core::take_ended() noexcept {
  cancel_node* node = ended_.pop_front();
  if (!node) return nullptr;
  --ended_count_;
  return &node->owner();
}

void join_set_core::cancel_members(const reason_ptr& why) noexcept {
  for (cancel_node* node = children.front(); node; node = children.after(*node)) cancel(*node, why);
}

void join_set_core::shut(reason_ptr why) noexcept {
  closed_ = true;
  cancel(*this, std::move(why));
}

void join_set_core::end() noexcept {
  closed_ = true;
  leave();
}

void join_set_core::arm(waiter& by) {
  detail::refuse_cycle(by, *this);
  waiters_.push_back(by);
}

// With one member left, everything depends on that one.
const task_header* join_set_core::held_by() const noexcept {
  return child_tasks == 1 ? &children.first().owner() : nullptr;
}

void join_set_core::child_settled(task_header& child) noexcept {
  ended_.push_back(child);
  ++ended_count_;
  wake();
}

void join_set_core::child_left(task_header&) noexcept {
  if (size() == 0) wake();
}

void join_set_core::wake() noexcept {
  if (waiter* by = waiters_.pop_front()) by->task->home->grant(*by);
}

namespace detail {

namespace {

[[noreturn]] void misuse(std::string message) { throw task_error({error_kind::misuse, std::move(message), 0, {}}); }

}  // namespace

task_header& owner_of_new_set() {
  scheduler* tasks = scheduler::here();
  if (!tasks || !tasks->current()) misuse("a join set belongs to a task: none is running");
  return *tasks->current();
}

void check_accepts(const join_set_core& set) {
  if (!set.accepts_members()) misuse("join set closed: nothing can be spawned into it any more");
}

void check_owner(const join_set_core& set, const task_header& by) {
  if (set.entered() && set.owner_task() != &by) misuse("the join set belongs to " + label_of(*set.owner_task()));
}

}  // namespace detail

}  // namespace perilune
