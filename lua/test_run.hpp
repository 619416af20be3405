// What one run of a test file needs beside its host: the clock, the observer, what was reported, and the results. Its VM finds
// it as the module perilune.native.test, which is how perilune.test knows that it runs under a test program.
//
// Owned by a program that runs tests, made before its host and gone after it; everything on the host's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <perilune/clock.hpp>

#include "lua_host.hpp"
#include "test_observer.hpp"

namespace perilune {

class test_run {
 public:
  test_run() = default;
  test_run(const test_run&) = delete;
  test_run& operator=(const test_run&) = delete;

  // For the host: a virtual clock, and everything that is reported comes here.
  lua_host_options options(std::uint64_t seed, bool shuffle);
  // Publishes this run in the VM. "" or why that was not possible.
  std::string publish(lua_host& scripts);

  virtual_clock time;
  test_observer watch{time};
  std::vector<std::string> reports;  // failures nobody looked at, warnings
  std::vector<std::string> stalls;   // reports of deadlocks
  std::vector<std::string> results;  // one text for each test, as perilune.test.runner writes them
};

}  // namespace perilune
