// Carrying out a command line: reading the script, running it under the signal rules, reporting its end.
#pragma once

#include "command_line.hpp"

namespace perilune::cli {

// Returns the process's exit code.
int execute(const command_line& line);

}  // namespace perilune::cli
