// What a host lets its scripts take: how long a task may run at a stretch, and what happens to one that does not stop.
#pragma once

#include <csignal>
#include <cstdint>

#include <perilune/clock.hpp>

namespace perilune {

// How a task that computes without waiting is made to let the others run.
struct preemption {
  enum class mode : unsigned char {
    none,   // it is not: cancellation and time limits reach it at its next wait
    slice,  // by time: a thread of the host's watches, and sends a signal to the worker's thread
    fuel,  // by instructions: the same program is always interrupted at the same places; costs 1.4 to 2.3 times the time
  } how = mode::none;
  duration slice = std::chrono::milliseconds(10);  // CPU time at a stretch, at least 1 ms
  // Where Lua cannot suspend (a sort comparator, a gsub callback): the task is cancelled after this much CPU time.
  duration hold = std::chrono::seconds(1);
  std::uint64_t fuel = 1'000'000;  // instructions at a stretch, in mode fuel
  // The signal of mode slice. A handler that the program has for it is called for signals that are not ours. The handler
  // stays installed until the last host that uses it is gone.
  int signal = SIGURG;
};

}  // namespace perilune
