// What `perilune test` was asked to do. Plain data, read from the command line and the environment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <perilune/clock.hpp>

namespace CLI {
class App;
}

namespace perilune::cli {

struct test_request {
  std::string program;             // argv[0]
  std::vector<std::string> paths;  // files, and folders to look for files in
  std::uint64_t seed = 0;          // 0 draws one
  std::uint64_t rounds = 1;        // with seed, seed + 1, ...
  bool shuffle = false;            // the order of tests and of ready tasks
  bool cancel_here = false;        // each test once more for each suspension point, cancelled there
  bool list = false;               // names only
  bool verbose = false;
  bool tap = false;     // TAP instead of the report for people
  std::string filter;   // a part of a name, or a Lua pattern
  duration timeout{0};  // of one test, in time of its clock; 0 for the default
  std::string junit;    // a file to write
  std::string trace;    // a file to write
  std::string color = "auto";
};

// Adds the flags of the command, which fill `request`.
void add_test_flags(CLI::App& test, test_request& request);
// What is wrong with what the command was given, one line, or "". Its other words become the paths.
std::string read_test_words(const CLI::App& command, test_request& request);

// Whether to colour standard output: --color, then NO_COLOR, then CLICOLOR_FORCE, then whether it is a terminal.
bool wants_color(const std::string& when);

}  // namespace perilune::cli
