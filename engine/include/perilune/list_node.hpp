// The links of every intrusive queue: a ring of nodes that live in their owners, so that queueing never allocates.
// A node is in one ring at a time. The queue that holds it owns the links; only that queue's thread touches them.
// Links are identity, not value: a copy of a node starts outside every ring and assignment leaves both rings alone.
#pragma once

namespace perilune {

struct list_node {
  // The neighbours in its queue; nullptr in none.
  list_node* next = nullptr;
  list_node* prev = nullptr;

  constexpr list_node() noexcept = default;
  constexpr list_node(const list_node&) noexcept {}
  constexpr list_node& operator=(const list_node&) noexcept { return *this; }

  // Whether it is in a queue.
  [[nodiscard]] constexpr bool linked() const noexcept { return next != nullptr; }

  // The only node of its ring: what a queue calls empty when the node is its head, and a single entry otherwise.
  [[nodiscard]] constexpr bool alone() const noexcept { return next == this; }

  // Makes it the only node of a ring.
  constexpr void link_alone() noexcept { next = prev = this; }

  // Requires !linked() && successor.linked(). Before the head of a ring is its tail.
  constexpr void link_before(list_node& successor) noexcept {
    next = &successor;
    prev = successor.prev;
    prev->next = this;
    successor.prev = this;
  }

  // Requires linked().
  constexpr void unlink() noexcept {
    prev->next = next;
    next->prev = prev;
    next = prev = nullptr;
  }
};

}  // namespace perilune
