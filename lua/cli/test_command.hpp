// `perilune test`: runs each test file in a host of its own on a virtual clock, and gives the results to the reporter, which is
// Lua (perilune.test.report) in one more host.
#pragma once

#include <string>

#include "test_request.hpp"

namespace perilune::cli {

using message_sink = void (*)(const std::string&);

// Returns the process's exit code.
int run_tests(const test_request& request, message_sink say);

}  // namespace perilune::cli
