// One descriptor for all that may give a worker work while nobody drives it: its reactor's, and a bell that is rung when
// something was posted. Owned by the runtime; ring() by any thread, the rest by the thread that drives worker 0.
#pragma once

#include <atomic>

#include <perilune/error.hpp>

#include "unique_fd.hpp"

namespace perilune::detail {

class reactor;

class poll_door {
 public:
  // Opens the descriptors; does nothing when they are open.
  result<unit> open(reactor& io);
  int descriptor() const noexcept { return all_.get(); }
  // Any thread; without effect before open().
  void ring() const noexcept;
  // What was rung has been heard.
  void silence() const noexcept;

 private:
  std::atomic<int> bell_{-1};  // an eventfd, owned by `owned_`
  unique_fd owned_;
  unique_fd all_;  // an epoll set of both
};

}  // namespace perilune::detail
