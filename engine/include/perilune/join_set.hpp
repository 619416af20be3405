// join_set<T>: tasks whose number is not known beforehand, joined in the order in which they end.
//
// A set belongs to the task that made it and hangs below the node that was innermost then, so what cancels the one cancels
// the members. Anybody may spawn into it; its owner alone takes outcomes and closes it. Nothing is taken before the owner
// resumes, so a wait that loses or is cancelled has no effect. Members in the tree are those that run; those that have
// ended wait, linked by the same node, to be taken. One worker only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <perilune/scope.hpp>

namespace perilune {

// The set without its members' types, which is also the operation of waiting for the next member to end. Whoever derives
// from it keeps the blocks of members alive until they are taken.
class join_set_core : public scope_node, public operation {
 public:
  join_set_core() noexcept { set(observes); }

  // Members that have not been taken.
  std::size_t size() const noexcept { return child_tasks + ended_count_; }
  bool accepts_members() const noexcept { return entered() && !closed_; }
  // The member that ended first among those not taken yet; nullptr for none.
  task_header* take_ended() noexcept;
  // A member that runs, or nullptr.
  task_header* first_running() const noexcept { return children.empty() ? nullptr : &children.first().owner(); }
  // Cancels the members that run; the set goes on.
  void cancel_members(const reason_ptr& why) noexcept;
  // Cancels the members that run and takes no more. The owner then waits until the node is drained.
  void shut(reason_ptr why) noexcept;
  // The set is over. Members that still run pass to the enclosing node.
  void end() noexcept;

  // Granted when a member has ended, or none is left.
  bool try_commit(waiter&) override { return ended_count_ != 0 || child_tasks == 0; }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override { return true; }
  const task_header* held_by() const noexcept override;
  wait_description describe() const noexcept override { return {"join", "join set", this}; }

  void child_settled(task_header& child) noexcept override;
  void child_left(task_header& child) noexcept override;

 protected:
  ~join_set_core() { end(); }

 private:
  void wake() noexcept;

  linked_queue<cancel_node> ended_;
  wait_queue waiters_;
  std::size_t ended_count_ = 0;
  bool closed_ = false;
};

namespace detail {
// The running task, as the owner of a new set. Throws kind misuse outside a task.
task_header& owner_of_new_set();
// Throw kind misuse.
void check_accepts(const join_set_core& set);
void check_owner(const join_set_core& set, const task_header& by);
}  // namespace detail

template <class T>
class join_set final : public join_set_core {
 public:
  // Requires a running task, which owns the set.
  join_set() { hang_below(detail::owner_of_new_set()); }
  // Cancels the members; the enclosing scope or task waits for them. close() waits here.
  ~join_set() { cancel_and_drop(); }

  // Queues a member. Throws kind misuse when the set is closed or its owner has ended.
  task_handle<T> spawn(task<T> body) {
    detail::check_accepts(*this);
    task_handle<T> handle = detail::make_task(std::move(body));
    block_of(handle.header()).retain();
    scheduler::here()->spawn(handle.header(), {.below = this});
    return handle;
  }

  // Waits for the next task of a set that ends; empty where none is left. The set outlives it.
  class join_next_operation final : public operation {
   public:
    // Of this set.
    explicit join_next_operation(join_set& from) noexcept : set_(&from) {}
    bool try_now(waiter& by) {
      detail::check_owner(*set_, *by.task);
      return set_->try_commit(by);
    }
    bool try_commit(waiter& by) override { return try_now(by); }
    void arm(waiter& by) override { set_->arm(by); }
    void disarm(waiter& by) noexcept override { set_->disarm(by); }
    bool give_back(waiter& by) noexcept override { return set_->give_back(by); }
    const task_header* held_by() const noexcept override { return set_->held_by(); }
    wait_description describe() const noexcept override { return set_->describe(); }
    std::optional<task_handle<T>> take_result() noexcept { return set_->take(); }

   private:
    join_set* set_;
  };

  // Waits for the next member to end. Yields its handle; nothing when no member is left.
  auto join_next() { return detail::awaiter<join_next_operation>(std::in_place, *this); }
  join_next_operation join_next_op() noexcept { return join_next_operation(*this); }
  // A member that has ended, or nothing; size() tells whether any is left.
  std::optional<task_handle<T>> try_join_next() {
    detail::check_owner(*this, *scheduler::here()->current());
    return take();
  }
  // Waits for all members. Yields their outcomes in the order in which they ended.
  task<std::vector<outcome<T>>> join_all() {
    while (task_header* member = first_running()) co_await task_handle<T>(block_of(*member)).join();
    std::vector<outcome<T>> all;
    while (auto member = try_join_next()) all.push_back(member->outcome_now());
    co_return all;
  }
  // Asks every member that runs to end. The set may be used further.
  void cancel_all(std::string text = {}) noexcept { cancel_members(asked(std::move(text))); }
  // Cancels the members and waits for their ends; what they would have yielded is dropped.
  task<> close() {
    detail::check_owner(*this, *scheduler::here()->current());
    shut(asked("the join set was closed"));
    co_await detail::drain_awaiter(*this);
    cancel_and_drop();
  }

 private:
  static detail::typed_task<T>& block_of(task_header& member) noexcept {
    return static_cast<detail::typed_task<T>&>(member);
  }
  reason_ptr asked(std::string text) const {
    const task_header* by = owner_task();
    return reason_ptr::make(cancel_source::cancel, std::move(text), by ? by->id : 0, by && by->name ? by->name : "");
  }
  std::optional<task_handle<T>> take() noexcept {
    task_header* member = take_ended();
    if (!member) return std::nullopt;
    task_handle<T> handle(block_of(*member));
    block_of(*member).release();
    return handle;
  }
  void child_left(task_header& child) noexcept override {
    join_set_core::child_left(child);
    block_of(child).release();
  }
  void cancel_and_drop() noexcept {
    if (entered()) shut(asked("the join set was closed"));
    for (cancel_node* node = children.front(); node; node = children.after(*node)) block_of(node->owner()).release();
    while (take()) {
    }
    end();
  }
};

}  // namespace perilune
