// The program: reads the command line, runs a script, turns its end into an exit code.
#include <cstdio>
#include <exception>

#include "command_line.hpp"
#include "process_title.hpp"
#include "run_command.hpp"

int main(int argc, char** argv) {
  try {
    perilune::process_title::remember(argc, argv);
    return perilune::cli::execute(perilune::cli::read_command_line(argc, argv));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "perilune: internal error: %s\n", problem.what());
    return perilune::cli::exit_internal;
  }
}
