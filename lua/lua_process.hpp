// A child process as scripts hold it. The userdata owns the child: closed, or collected, while the child runs, it ends it.
// User values: 1 stdin, 2 stdout, 3 stderr, each a stream or nil. One worker only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <lua.hpp>

#include <perilune/process.hpp>

#include "protect.hpp"

namespace perilune {

struct lua_process {
  static constexpr std::uint64_t tag = 0x70726f63'a8c0167fULL;
  static constexpr int user_values = 3;
  enum user_value : int { input = 1, output = 2, errors = 3 };

  std::optional<process> owner;            // until it is closed
  std::shared_ptr<detail::child> child{};  // for those who wait
  duration grace{};
  pid_t id = 0;
  bool left = false;  // closing does not end the child
};

// Where the arguments of spawn and run stand; perilune.process has checked them.
enum process_argument : int {
  arg_argv = 1,      // list of strings
  arg_cwd,           // string or nil
  arg_env,           // list of name, value (false to remove)..., or nil
  arg_clear_env,     // boolean
  arg_streams,       // list of kind, value (string or false) for stdin, stdout, stderr
  arg_grace,         // seconds
  arg_group,         // boolean
  arg_leave,         // boolean
  arg_timeout,       // seconds or nil; run only
  arg_output_limit,  // bytes or nil; run only
  arg_confirm,       // boolean; spawn only
  process_arguments = arg_confirm
};

// Reads the arguments. Calls nothing of Lua that raises.
void read_process_options(lua_State* L, process_options& options);
// Whether the kind of the stream (0 stdin, 1 stdout, 2 stderr) is "pipe".
bool asks_pipe(lua_State* L, int stream) noexcept;

// Pushes {code, signal, ok, duration, rusage}.
void push_exit_status(lua_State* L, const exit_status& status);

void define_process(lua_State* L);

}  // namespace perilune
