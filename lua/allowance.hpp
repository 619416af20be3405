// What a run in an isolate may still use: fuel, time, output. Every task of the run has a pointer to it and stands below its
// node in the tree, so what exceeds it ends them all; it is killed, since no shield is a way around a limit.
//
// Owned by the run, and touched by its worker only.
#pragma once

#include <cstdint>

#include <perilune/cancel.hpp>
#include <perilune/sandbox.hpp>

namespace perilune {

class lua_task;
class vm;

class allowance : public scope_node {
 public:
  explicit allowance(const run_limits& limits) noexcept : limits_(limits), fuel_(limits.fuel), output_(limits.output) {}
  virtual ~allowance() = default;

  // The run begins now, below the innermost node of this task.
  void begin(task_header& above, instant now) noexcept;

  // Each ends the run when it is more than what is left.
  void use_fuel(std::uint64_t units, const lua_task& by) noexcept;
  void use_output(std::uint64_t bytes, const lua_task& by) noexcept;
  // More memory was wanted than anything may have.
  void use_up_memory(const lua_task& by) noexcept;
  void expire() noexcept override;

  // What was exceeded, or "".
  const char* exceeded() const noexcept { return exceeded_; }

  task_header* root = nullptr;  // the task of the run that all others stand below

 private:
  void end(const lua_task* by) noexcept;

  run_limits limits_;
  std::uint64_t fuel_;
  std::uint64_t output_;
  char exceeded_[192] = "";
};

// Counts what the running task prints. False: that is more than its run may, and ends it; raise_cancel is the reply.
bool count_output(vm& v, std::uint64_t bytes) noexcept;

}  // namespace perilune
