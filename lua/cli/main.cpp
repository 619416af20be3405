// The program: reads the command line, runs a script, turns its end into an exit code. See runner.md.
#include <cstdio>


#include "command_line.hpp"
#include "run_command.hpp"

int main(int argc, char** argv) {
  const perilune::cli::command_line line = perilune::cli::parse(argc, argv);
  return perilune::cli::execute(line);
}
