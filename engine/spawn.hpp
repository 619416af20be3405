// Starting a child: what it will see of files, environment and signals, and the ends of its pipes that stay here.
#pragma once

#include <memory>

#include <sys/types.h>

#include <perilune/process.hpp>

#include "program_start.hpp"
#include "unique_fd.hpp"

namespace perilune::detail {

struct launched {
  pid_t pid = -1;
  unique_fd pidfd{};
  unique_fd input{};  // our ends, where the stream is a pipe
  unique_fd output{};
  unique_fd errors{};
  std::unique_ptr<program_start> start{};  // where that was not waited for
};

// Any thread. Where the options want the start confirmed, blocks it until the child has executed its program or failed to.
result<launched> launch(const process_options& options);

// What kept a program from being executed, in a folder that may be empty.
error start_error(const std::string& program, const std::string& folder, int code);

// What errors call the child: the last part of argv[0].
std::string short_name(const process_options& options);

}  // namespace perilune::detail
