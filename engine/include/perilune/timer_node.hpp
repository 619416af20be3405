// One sleeping waiter or one deadline: the part of a task or coroutine frame that a worker's timer queue links.
// Owned by the frame it lives in; touched only by the thread of the worker on which it is armed.
#pragma once

#include <cstdint>

#include <perilune/list_node.hpp>

namespace perilune {

struct timer_node : list_node {
  std::uint64_t deadline = 0;  // the queue's while armed, in nanoseconds of the worker's clock
  std::uint16_t slot = 0;      // the queue's while armed
  std::uint8_t kind = 0;       // the owner's, as are state and stamp: the queue never reads them
  std::uint8_t state = 0;
  std::uint32_t stamp = 0;
};

namespace detail {

// A timer that calls a function on the worker's thread.
struct timer_callback : timer_node {
  void (*fire)(timer_callback&) noexcept = nullptr;
};

}  // namespace detail

static_assert(sizeof(void*) != 8 || sizeof(timer_node) == 32);

}  // namespace perilune
