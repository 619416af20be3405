// A native function of a program's that takes long: nothing can interrupt it, so a cancellation waits for it, and the host is told
// which function of which task it was.
#include <perilune/host.hpp>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

double cpu_seconds() {
  timespec at{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

}  // namespace

TEST_CASE("CAN-11: inside a long C call a cancel waits, and the call is named") {
  std::vector<std::string> told;
  std::atomic<bool> inside = false;
  std::atomic<bool> asked = false;
  bool left = false;
  host_options options;
  options.preempt.how = preemption::mode::slice;
  options.preempt.slice = 1ms;
  options.preempt.hold = 20ms;
  options.report = [&told](const std::string& text) { told.push_back(text); };
  host h(options);
  REQUIRE(h.define("compute", [&] {
    inside = true;
    const double begun = cpu_seconds();
    while (!asked || cpu_seconds() < begun + 0.2) {
    }
    left = true;
  }));
  const auto made = h.load("compute()\nwhile true do end", "=test");
  REQUIRE(made);
  const script_task task = h.spawn(*made);
  std::thread other([&] {
    while (!inside) std::this_thread::yield();
    h.post([&task] { task.cancel("now"); });
    asked = true;
  });
  while (!task.done()) h.tick();
  other.join();
  CHECK(left);
  CHECK(task.outcome().cancelled());
  const auto names_it = [](const std::string& text) {
    return text.find("held the worker for ") != std::string::npos &&
           text.find(" in compute, test:1") != std::string::npos;
  };
  INFO((told.empty() ? "nothing told" : told.front()));
  CHECK(std::count_if(told.begin(), told.end(), names_it) == 1);
}
