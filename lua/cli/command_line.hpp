// What the user asked for, read from the command line. Plain data; made once by main.
#pragma once

#include <string>
#include <vector>

namespace perilune::cli {

// Exit codes of runner.md.
enum exit_code : int {
  exit_ok = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_invalid_file = 3,
  exit_internal = 70,
  exit_hup = 129,
  exit_int = 130,
  exit_term = 143,
};

struct command_line {
  enum class verb { run, version, help, usage_error } what = verb::run;
  std::string file;                    // "-" for standard input
  std::vector<std::string> arguments;  // of the script
  std::string problem;                 // of a usage error: one line
};

command_line parse(int argc, char** argv);
// The text of --help.
const char* help_text();

}  // namespace perilune::cli
