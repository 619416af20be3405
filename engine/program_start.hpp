// The way of a child from its making until it executes its program. It shares this process's memory until then, as after
// vfork, but this process goes on meanwhile: all that the child reads lies here, it calls the kernel directly since errno
// is not its own, and every signal waits until it has its own program.
//
// Filled and started by one thread. Destroyed, it waits for the child to be on its own.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

#include "unique_fd.hpp"

namespace perilune::detail {

class program_start {
 public:
  program_start() noexcept = default;
  ~program_start() { wait_until_over(); }
  program_start(const program_start&) = delete;
  program_start& operator=(const program_start&) = delete;

  // Makes `as` in the child what `from` is here.
  void connect(int from, int as) noexcept { connections_[connected_++] = {from, as}; }

  std::string program;             // its path
  std::string folder;              // where it begins; empty: that of this process
  std::vector<std::string> words;  // argv
  std::vector<std::string> own_environment;
  std::vector<char*> environment;  // what execve gets, without the null at the end
  bool own_group = true;

  // Makes the child: 0, or an errno. The group is there when this returns.
  int go(pid_t& pid, unique_fd& pidfd);
  // Blocks the thread until the child executes its program, or has failed to and ended.
  void wait_until_over() const noexcept;
  // The errno of what kept the child from its program; 0 before it is over and where nothing did.
  int problem() const noexcept { return __atomic_load_n(&problem_, __ATOMIC_RELAXED); }

 private:
  struct connection {
    int from;
    int as;
  };
  struct execution {  // as the kernel wants it
    const char* folder;
    const char* program;
    char* const* words;
    char* const* environment;
  };
  static int in_child(void* start) noexcept;

  connection connections_[3];
  std::size_t connected_ = 0;
  std::vector<char*> argv_;
  execution execute_{};
  int problem_ = 0;                // set by the child
  std::atomic<int> under_way_{0};  // the kernel sets it to 0 and wakes who waits
  alignas(64) std::array<std::byte, 8192> stack_;
};

}  // namespace perilune::detail
