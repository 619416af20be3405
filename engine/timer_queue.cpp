// The radix wheel behind a worker's timers; the model and the proof of its order are in timer_queue.hpp.
#include "timer_queue.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace perilune::detail {

namespace {

constexpr unsigned words_per_level = 4;
constexpr std::size_t short_walk = 16;

timer_node* next_of(timer_node& node) noexcept { return static_cast<timer_node*>(node.next); }

}  // namespace

void timer_queue::insert(timer_node& node, std::uint64_t deadline_ns) noexcept {
  assert(!node.linked());
  ++size_;
  if (deadline_ns == never) {
    node.deadline = never;
    append(node, never_slot);
    return;
  }
  node.deadline = std::max(deadline_ns, base_);
  earliest_ = std::min(earliest_, node.deadline);
  append(node, slot_of(node.deadline));
}

void timer_queue::erase(timer_node& node) noexcept {
  assert(node.linked() && size_ > 0);
  --size_;
  remove(node);
  if (levels_ == 0) {
    earliest_ = never;
  } else if (node.deadline == earliest_) {
    earliest_ = unknown;
  }
}

timer_node* timer_queue::pop_due(std::uint64_t now_ns) noexcept {
  while (levels_ != 0) {
    const unsigned slot = first_slot();
    if (start_of(slot) > now_ns) break;
    timer_node& head = *heads_[slot];
    const bool first_of_all = slot < slots_per_level || head.alone();
    if (first_of_all && head.deadline <= now_ns) return take(head);
    cascade(slot);
  }
  base_ = std::max(base_, now_ns);
  return nullptr;
}

std::optional<std::uint64_t> timer_queue::next_deadline() const noexcept {
  if (levels_ == 0) return std::nullopt;
  if (earliest_ == unknown) earliest_ = bound_within(first_slot(), size_);
  return earliest_;
}

std::optional<std::uint64_t> timer_queue::next_wake() const noexcept {
  if (levels_ == 0) return std::nullopt;
  if (earliest_ != unknown) return earliest_;
  return bound_within(first_slot(), short_walk);
}

unsigned timer_queue::slot_of(std::uint64_t deadline) const noexcept {
  const auto highest_bit = static_cast<unsigned>(std::bit_width((deadline ^ base_) | 1U)) - 1;
  const unsigned level = highest_bit / 8;
  return level * slots_per_level + static_cast<unsigned>((deadline >> (level * 8)) & 0xff);
}

unsigned timer_queue::first_slot() const noexcept {
  auto word = static_cast<unsigned>(std::countr_zero(levels_)) * words_per_level;
  while (slots_[word] == 0) ++word;
  return word * 64 + static_cast<unsigned>(std::countr_zero(slots_[word]));
}

// The earliest deadline that the slot can hold: the bytes above its level are those of base_, those below are zero.
std::uint64_t timer_queue::start_of(unsigned slot) const noexcept {
  const unsigned shift = slot / slots_per_level * 8;
  const std::uint64_t prefix = (base_ >> shift) & ~std::uint64_t{0xff};
  return (prefix | slot % slots_per_level) << shift;
}

// The minimum of the slot's deadlines if its list has at most `steps` nodes, else the slot's start.
std::uint64_t timer_queue::bound_within(unsigned slot, std::size_t steps) const noexcept {
  timer_node* const head = heads_[slot];
  if (slot < slots_per_level) return head->deadline;
  std::uint64_t minimum = head->deadline;
  for (timer_node* node = next_of(*head); node != head; node = next_of(*node)) {
    if (--steps == 0) return start_of(slot);
    minimum = std::min(minimum, node->deadline);
  }
  return minimum;
}

void timer_queue::append(timer_node& node, unsigned slot) noexcept {
  node.slot = static_cast<std::uint16_t>(slot);
  if (heads_[slot] != nullptr) {
    node.link_before(*heads_[slot]);
    return;
  }
  node.link_alone();
  heads_[slot] = &node;
  if (slot == never_slot) return;
  slots_[slot / 64] |= std::uint64_t{1} << (slot % 64);
  levels_ |= 1U << (slot / slots_per_level);
}

void timer_queue::remove(timer_node& node) noexcept {
  timer_node*& head = heads_[node.slot];
  if (node.alone()) {
    mark_empty(node.slot);
  } else if (head == &node) {
    head = next_of(node);
  }
  node.unlink();
}

void timer_queue::mark_empty(unsigned slot) noexcept {
  heads_[slot] = nullptr;
  if (slot == never_slot) return;
  slots_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
  const unsigned level = slot / slots_per_level;
  const auto* words = &slots_[level * words_per_level];
  if ((words[0] | words[1] | words[2] | words[3]) == 0) levels_ &= ~(1U << level);
}

// Time enters the first slot: its nodes now differ from base_ in a lower byte.
void timer_queue::cascade(unsigned slot) noexcept {
  base_ = start_of(slot);
  timer_node* node = heads_[slot];
  timer_node* const last = static_cast<timer_node*>(node->prev);
  mark_empty(slot);
  last->next = nullptr;
  while (node != nullptr) {
    timer_node* const next = next_of(*node);
    append(*node, slot_of(node->deadline));
    node = next;
  }
}

timer_node* timer_queue::take(timer_node& node) noexcept {
  base_ = node.deadline;
  erase(node);
  return &node;
}

}  // namespace perilune::detail
