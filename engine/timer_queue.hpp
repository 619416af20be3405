// One worker's sleeping waiters and deadlines, in exact (deadline, insertion) order to the nanosecond.
// Owned by the worker and touched only by its thread. The nodes belong to their owners, who erase them before they die.
//
// A radix wheel: 8 levels of 256 slots, one level for each byte of a deadline. `base_` is the time the queue has
// reached. A node stands at the level of the highest byte in which its deadline differs from `base_`, in the slot
// that this byte names. So the first occupied slot of the lowest occupied level holds the earliest deadlines, and
// before `base_` enters a slot that slot is cascaded: its nodes move, in order, to lower levels.
//
// Why the order is exact: where a node stands is a function of its deadline and `base_` alone, at all times, because
// `base_` only moves to times before the start of every slot that stays. Equal deadlines therefore always share a
// slot, and slots are appended to and cascaded in order. No sequence number is needed.
//
// Costs: insert and erase are O(1). A node moves at most 7 times in its life, whatever a script does.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include <perilune/clock.hpp>
#include <perilune/timer_node.hpp>

namespace perilune::detail {

class timer_queue {
 public:
  // The deadline that never comes; such a node is only counted and erased.
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  static std::uint64_t deadline_of(instant at) noexcept {
    return at == instant::max() ? never : static_cast<std::uint64_t>(std::max(at.count(), instant::rep{0}));
  }

  explicit timer_queue(std::uint64_t now_ns) noexcept : base_(now_ns) {}
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;

  // Requires !node.linked(). A deadline before the time the queue has reached (the last deadline popped, or the time
  // at which nothing more was due) counts as that time, and node.deadline says so: it is due at once, after those
  // already due at that time.
  void insert(timer_node& node, std::uint64_t deadline_ns) noexcept;

  // Requires that the node is armed in this queue.
  void erase(timer_node& node) noexcept;

  // The next node whose deadline is not after `now_ns`, unlinked; nullptr when none is due. Time that goes back is
  // tolerated: nothing is due that was not.
  [[nodiscard]] timer_node* pop_due(std::uint64_t now_ns) noexcept;

  // The earliest deadline, for clocks that jump to it. Remembered; when it is not known it costs a walk along one
  // slot, which the cascade that follows the jump pays for.
  [[nodiscard]] std::optional<std::uint64_t> next_deadline() const noexcept;

  // When to look again, for clocks that have to wait: never after next_deadline(), and after the last pop_due's time
  // unless something is due. O(1): where the exact deadline would cost a long walk it is the start of its slot.
  [[nodiscard]] std::optional<std::uint64_t> next_wake() const noexcept;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr unsigned level_count = 8;
  static constexpr unsigned slots_per_level = 256;
  static constexpr unsigned slot_count = level_count * slots_per_level;
  static constexpr unsigned never_slot = slot_count;

  static constexpr std::uint64_t unknown = 0;

  [[nodiscard]] unsigned slot_of(std::uint64_t deadline) const noexcept;
  [[nodiscard]] unsigned first_slot() const noexcept;
  [[nodiscard]] std::uint64_t start_of(unsigned slot) const noexcept;
  [[nodiscard]] std::uint64_t bound_within(unsigned slot, std::size_t steps) const noexcept;
  void append(timer_node& node, unsigned slot) noexcept;
  void remove(timer_node& node) noexcept;
  void mark_empty(unsigned slot) noexcept;
  void cascade(unsigned slot) noexcept;
  timer_node* take(timer_node& node) noexcept;

  std::uint64_t base_;
  mutable std::uint64_t earliest_ = never;  // the minimum outside never_slot (`never` if there is none), or unknown
  std::size_t size_ = 0;
  std::uint32_t levels_ = 0;                            // bit l: level l has an occupied slot
  std::array<std::uint64_t, slot_count / 64> slots_{};  // bit s: slot s is occupied
  std::array<timer_node*, slot_count + 1> heads_{};
};

}  // namespace perilune::detail
