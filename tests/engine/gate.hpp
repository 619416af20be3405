// Blocking calls that wait where a test holds them, and the end of a call, told to the test.
#pragma once

#include <future>
#include <latch>
#include <memory>

namespace perilune::test {

struct gate {
  std::latch begun{1};
  std::latch open{1};
  void pass() {
    begun.count_down();
    open.wait();
  }
};

// Fulfils its promise when the last copy of the call it is captured by is gone.
inline std::shared_ptr<void> farewell(std::promise<void>& gone) {
  return {&gone, [](std::promise<void>* p) { p->set_value(); }};
}

}  // namespace perilune::test
