// What the user asked for, read from the command line and the environment. Plain data; made once by main.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <perilune/clock.hpp>

#include "test_request.hpp"

namespace perilune::cli {

// Exit codes. Those of a signal are 128 and its number.
enum exit_code : int {
  exit_ok = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_invalid_file = 3,
  exit_internal = 70,
  exit_signal = 128,
};

struct command_line {
  enum class verb { run, in_lua, test, version, usage_error } what = verb::run;
  std::string file;                    // "-" for standard input
  std::vector<std::string> arguments;  // of the script
  std::vector<std::string> command;    // the words in front of the file, nearest first
  duration grace = std::chrono::seconds(10);
  std::uint64_t workers = 1;  // of the runtime, each with a thread and a VM
  std::uint64_t seed = 0;     // 0 draws one
  std::string inspect;        // where others may look inside: a path, "true" for the usual place, "" for nowhere
  test_request test;          // of the verb `test`
  std::string problem;        // of a usage error: one line
};

command_line read_command_line(int argc, char** argv);

}  // namespace perilune::cli
