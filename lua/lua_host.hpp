// A runtime with the VMs of its workers, and the running of one script: what the program, the test program and perilune::host
// stand on. Owned by whoever drives it; every call from that thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/hooks.hpp>
#include <perilune/limits.hpp>
#include <perilune/runtime.hpp>
#include <perilune/sandbox.hpp>

struct lua_State;

namespace perilune {

class vm;

struct lua_host_options {
  runtime_options runtime;
  preemption preempt;  // default: none
  // Receives the text of failures nobody looked at and of warnings. Default: a line on standard error.
  std::function<void(const std::string&)> report;
  // Where the VM's memory comes from, a function like lua_Alloc: it may refuse, a task then fails of "not enough memory".
  // Default: an allocator of the VM's own.
  void* (*allocate)(void* data, void* block, std::size_t old_size, std::size_t new_size) = nullptr;
  void* allocate_data = nullptr;  // its first argument
  vm_limits limits;               // of the main VM
  bool manual_gc = false;         // its collector works when the host says so
  bool deterministic = false;     // see vm_options
  std::function<void(const log_record&)> log{};
  std::function<std::optional<module_source>(std::string_view)> load_module{};
};

// What to run, and what it is told.
struct main_script {
  std::string_view source;             // Lua text; a first line that begins with # is skipped
  std::string name;                    // what errors call it: "@x.lua" for a file, "=stdin" for a stream
  std::string program;                 // arg[0]
  std::vector<std::string> arguments;  // arg[1], arg[2], ... and the chunk's `...`
  std::vector<std::string> command;    // arg[-1], arg[-2], ...: the words in front of the program, nearest first
  std::string folder;                  // where require looks first, "" for nowhere in particular
};

// How a script ended.
struct script_end {
  enum class kind { returned, failed, cancelled, not_loaded } how = kind::returned;
  std::string message;           // of a failure: what tostring(e) says; of not_loaded: one line
  std::string report;            // of a failure: its text (of the script's own without its name), causes, traceback
  std::uint64_t unobserved = 0;  // failures of other tasks that nobody looked at
  bool exited = false;           // os.exit was called
  int exit_code = 0;             // its argument
};

// The text from a byte order mark and a first line that begins with # on; the end of that line stays, for the line numbers.
std::string_view without_preamble(std::string_view source) noexcept;
// Makes require look in `folder` before anywhere else. A folder that package.path cannot name is left out. May raise.
void search_first(lua_State* L, const std::string& folder);

class lua_host {
 public:
  explicit lua_host(lua_host_options options = {});
  lua_host(const lua_host&) = delete;
  lua_host& operator=(const lua_host&) = delete;
  ~lua_host();
  // Ends every task, with its closers. Nothing runs afterwards. Done by the destructor, if not before.
  void close();

  // Why the host could not be made, or "".
  const std::string& invalid() const noexcept;

  // Runs a script as a root task, until it and every detached task have ended.
  script_end run(const main_script& what);

  // The same in steps, for a host that drives the engine itself. start() queues the script and returns; engine().tick()
  // then runs it. A script that cannot be loaded is an error, with one line.
  result<unit> start(const main_script& what);
  // What follows the end of a script: waits for all that is detached, and tells failures nobody looked at; how many there were.
  std::uint64_t run_out();
  bool ended() const noexcept;
  // How the script ended. Requires ended().
  script_end end();

  runtime& engine() noexcept;
  perilune::vm& machine() noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace perilune
