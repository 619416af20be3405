// A host of Lua tasks: a runtime with one worker and one VM, driven by the thread that calls run(). Owned by the program
// that embeds it; every call from that thread. No lua_State and no asio type appears here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/runtime.hpp>

namespace perilune {

class vm;

struct host_options {
  runtime_options runtime;
  // Receives the text of failures nobody looked at and of warnings. Default: a line on standard error.
  std::function<void(const std::string&)> report;
  // Told once a run has failed or was stopped by a signal, before its closers have ended. May be empty.
  std::function<void(const std::string&)> notice;
};

// How a script ended.
struct script_end {
  enum class kind { returned, failed, cancelled, not_loaded } how = kind::returned;
  std::string message;          // of a failure: what tostring(e) says; of not_loaded: one line
  std::string report;           // of a failure: message, causes, spawn site, traceback
  std::uint64_t unobserved = 0; // failures of other tasks that nobody looked at
  bool exited = false;          // os.exit was called
  int exit_code = 0;            // its argument
};

class host {
 public:
  explicit host(host_options options = {});
  host(const host&) = delete;
  host& operator=(const host&) = delete;
  ~host();

  // Why the host could not be made, or "".
  const std::string& invalid() const noexcept;

  // Runs a script as a root task, until it and every detached task have ended. `name` is what errors call it ("@x.lua"
  // for a file). `arguments` become `arg` (1...) and the chunk's `...`; `program` becomes arg[0].
  script_end run(std::string_view source, const std::string& name, const std::string& program,
                 const std::vector<std::string>& arguments);

  runtime& engine() noexcept;
  perilune::vm& machine() noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace perilune
