// What the code of a VM may take and reach. A host says it for its own VM, a script for the isolates that it makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <perilune/clock.hpp>

namespace perilune {

// What there is in a VM. scripts/types/perilune.lua lists it name by name.
enum class profile : unsigned char {
  trusted,    // everything
  tool,       // files, processes, the network; no native code, bytecode, hooks, finalizers, nor the end of the program
  untrusted,  // nothing outside the VM but the time
};

// What a VM may use.
struct vm_limits {
  // Bytes in use, 0 for no limit. An allocation above it raises "not enough memory", which a script may catch.
  std::size_t memory = 0;
  // In an isolate: who goes on above `memory` all the same, and reaches this, is ended. Default: an eighth more.
  std::size_t hard_memory = 0;
  std::size_t max_tasks = 0;  // at once, 0 for no limit
};

// What one run in an isolate may use, all tasks that it starts together. Who reaches it is ended.
struct run_limits {
  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t fuel = none;            // instructions, and steps of native functions
  duration deadline = duration::max();  // from the start of the run, by the runtime's clock
  std::uint64_t output = none;          // bytes printed
};

struct sandbox {
  // What there is, what it may use, and what each run may.
  profile kind = profile::trusted;
  vm_limits limits{};
  run_limits each_run{};
  std::vector<std::string> modules{};  // there in spite of the profile: "perilune.json", "perilune.fs"
};

}  // namespace perilune
