// A first-in, first-out queue of objects that carry their own links, so that queueing never allocates.
// It holds one pointer (the tail of a circular list) and owns nothing. Used by one thread at a time.
#pragma once

#include <cstddef>
#include <utility>

#include <perilune/list_node.hpp>

namespace perilune {

template <class T>
class linked_queue {
 public:
  linked_queue() noexcept = default;
  linked_queue(const linked_queue&) = delete;
  linked_queue& operator=(const linked_queue&) = delete;

  // The first item; nullptr where there is none.
  bool empty() const noexcept { return tail_ == nullptr; }
  T* front() const noexcept { return tail_ ? &first() : nullptr; }
  // Requires !empty().
  T& first() const noexcept { return *static_cast<T*>(tail_->next); }
  T* back() const noexcept { return static_cast<T*>(tail_); }

  // The element behind `item`, or nullptr at the end.
  T* after(T& item) const noexcept {
    list_node* node = &item;
    return node == tail_ ? nullptr : static_cast<T*>(node->next);
  }

  // The item must not be in a queue of this link, and outlives its stay. O(1), as all but count().
  [[gnu::always_inline]] void push_back(T& item) noexcept {
    insert_at_seam(item);
    tail_ = &item;
  }

  // As push_back.
  void push_front(T& item) noexcept {
    insert_at_seam(item);
    if (!tail_) tail_ = &item;
  }

  // Takes the first item out; nullptr where there is none.
  [[gnu::always_inline]] T* pop_front() noexcept {
    if (!tail_) return nullptr;
    list_node* const first = tail_->next;
    if (first == tail_) {
      tail_ = nullptr;
    } else {
      tail_->next = first->next;
      first->next->prev = tail_;
    }
    first->next = nullptr;
    return static_cast<T*>(first);
  }

  // Takes out an item, which must be in this queue.
  void erase(T& item) noexcept {
    list_node& node = item;
    if (node.next == &node) {
      tail_ = nullptr;
    } else {
      node.prev->next = node.next;
      node.next->prev = node.prev;
      if (tail_ == &node) tail_ = node.prev;
    }
    node.next = node.prev = nullptr;
  }

  // Takes everything out: the first node of a chain that runs along `next` and ends behind `last`.
  list_node* release_chain(list_node*& last) noexcept {
    last = std::exchange(tail_, nullptr);
    return last ? std::exchange(last->next, nullptr) : nullptr;
  }

  // Moves all of `other`, in order, before the front of this queue.
  void splice_front(linked_queue& other) noexcept {
    if (!other.tail_) return;
    list_node* other_tail = other.tail_;
    join_rings(other);
    if (!tail_) tail_ = other_tail;
  }

  // Moves all of `other`, in order, behind the back of this queue.
  void splice_back(linked_queue& other) noexcept {
    if (!other.tail_) return;
    list_node* other_tail = other.tail_;
    join_rings(other);
    tail_ = other_tail;
  }

  // Walks the queue.
  std::size_t count() const noexcept {
    std::size_t n = 0;
    for (T* item = front(); item; item = after(*item)) ++n;
    return n;
  }

 private:
  void insert_at_seam(T& item) noexcept {
    list_node& node = item;
    if (!tail_) {
      node.next = node.prev = &node;
      return;
    }
    node.next = tail_->next;
    node.prev = tail_;
    tail_->next->prev = &node;
    tail_->next = &node;
  }

  void join_rings(linked_queue& other) noexcept {
    list_node* other_tail = std::exchange(other.tail_, nullptr);
    if (!tail_) return;
    list_node* head = tail_->next;
    list_node* other_head = other_tail->next;
    tail_->next = other_head;
    other_head->prev = tail_;
    other_tail->next = head;
    head->prev = other_tail;
  }

  list_node* tail_ = nullptr;
};

}  // namespace perilune
