// The fair lane of a scheduler: ready tasks, first in, first out. Nothing leaves it from the middle, so it needs one link
// only. Tasks queue by their own waiter. Owned by the scheduler; used by one thread at a time.
#pragma once

#include <perilune/task_header.hpp>

namespace perilune {

class run_queue {
 public:
  run_queue() noexcept = default;
  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;

  // The first task; nullptr where there is none.
  bool empty() const noexcept { return head_ == nullptr; }
  task_header* front() const noexcept { return to_task(head_); }

  // The task must not be queued.
  void push_back(task_header& task) noexcept {
    list_node& node = static_cast<waiter&>(task);
    node.next = nullptr;
    (head_ ? last_->next : head_) = &node;
    last_ = &node;
  }

  // Takes the first task out; nullptr where there is none.
  task_header* pop_front() noexcept {
    list_node* const first = head_;
    if (!first) return nullptr;
    head_ = first->next;
    first->next = nullptr;
    return to_task(first);
  }

  // Moves all of `other`, in order, before the front of this queue.
  void splice_front(linked_queue<waiter>& other) noexcept {
    list_node* last = nullptr;
    list_node* const first = other.release_chain(last);
    if (!first) return;
    last->next = head_;
    if (!head_) last_ = last;
    head_ = first;
  }

  // Moves all of `other`, in order, behind the back of this queue.
  void splice_back(linked_queue<waiter>& other) noexcept {
    list_node* last = nullptr;
    list_node* const first = other.release_chain(last);
    if (!first) return;
    (head_ ? last_->next : head_) = first;
    last_ = last;
  }

 private:
  static task_header* to_task(list_node* node) noexcept {
    return static_cast<task_header*>(static_cast<waiter*>(static_cast<timer_node*>(node)));
  }

  list_node* head_ = nullptr;
  list_node* last_ = nullptr;  // valid while head_ is
};

}  // namespace perilune
