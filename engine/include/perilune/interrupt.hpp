// A request that a signal handler can make of a runtime: made once by the host, raised from anywhere.
//
// Owned by the host, which outlives neither the runtime nor the handler that raises it. The function runs on the thread
// of worker 0, between two tasks, soon after raise(); raises that come before it has run are one. It is no reason for a
// stalled run to wait, nor for a virtual clock to stand still.
#pragma once

#include <functional>
#include <memory>

namespace perilune {

class runtime;

class interrupt {
 public:
  // On the thread that drives worker 0.
  interrupt(runtime& rt, std::function<void()> fn);
  interrupt(const interrupt&) = delete;
  interrupt& operator=(const interrupt&) = delete;
  // On the thread that drives worker 0, when nobody raises any more.
  ~interrupt();

  // Any thread, also inside a signal handler.
  void raise() noexcept;

 private:
  class request;
  request* request_;
};

}  // namespace perilune
