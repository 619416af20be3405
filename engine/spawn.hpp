// Starting a child: what it will see of files, environment and signals, and the ends of its pipes that stay here.
#pragma once

#include <sys/types.h>

#include <perilune/process.hpp>

#include "unique_fd.hpp"

namespace perilune::detail {

struct launched {
  pid_t pid = -1;
  unique_fd pidfd{};
  unique_fd input{};  // our ends, where the stream is a pipe
  unique_fd output{};
  unique_fd errors{};
};

// Any thread. Blocks it until the child has executed its program or failed to.
result<launched> launch(const process_options& options);

// What errors call the child: the last part of argv[0].
std::string short_name(const process_options& options);

}  // namespace perilune::detail
