// A runtime beside another whose tasks wait for each other, through what runtimes share. While one of such fellows has something
// to run or waits for something outside, none of them is in a deadlock. When none does, all of them are.
//
// A plain thread counts as outside only where it has a thread_channel: who waits for one that has none is in a deadlock.
//
// Made and kept by who starts the other runtime, until its end has been heard of: as long as it is kept, the others are in no deadlock
// unless it stalls too. Any thread.
#pragma once

#include <memory>

namespace perilune {

class runtime;

namespace detail {
class fellowship;
struct fellow_place;
}  // namespace detail

class fellow_runtime {
 public:
  // A place among the fellows of `beside`. Who has it counts as busy until admit(), and again after the end of that runtime. A
  // `daemon` serves the others, as all do that are started beside one: their deadlock ends none of its waits.
  fellow_runtime(runtime& beside, bool daemon);
  fellow_runtime(const fellow_runtime&) = delete;
  fellow_runtime& operator=(const fellow_runtime&) = delete;
  ~fellow_runtime();

  // The runtime that takes the place, before it runs anything. It leaves by itself when it ends, which is before this does.
  void admit(runtime& fellow);

 private:
  const std::shared_ptr<detail::fellowship> circle_;
  detail::fellow_place& place_;
};

}  // namespace perilune
