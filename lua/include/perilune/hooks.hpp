// What a host may want to be told by its scripts: what their tasks do, what they log, and which modules they ask for. Functions of
// the host's options, called on the thread that drives the host (those of further workers: on theirs), between two steps of tasks.
// They must not drive the host; what they throw ends there. None costs anything where it is not set.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <perilune/clock.hpp>

namespace perilune {

// A task at the moment of the call.
struct task_info {
  std::uint64_t id = 0;
  std::string_view name{};   // "" for none
  std::string_view state{};  // "ready", "waiting", "returned", ...
};

// What to call when a task does something.
struct task_hooks {
  // It was queued; its turn has come.
  std::function<void(const task_info&)> spawned{};
  std::function<void(const task_info&)> resumed{};
  // It has left off, and waits for this ("recv on a channel"), or "" where it only let others run.
  std::function<void(const task_info&, std::string_view waits_for)> suspended{};
  std::function<void(const task_info&)> done{};
  // It has run for longer than `slow_slice` of wall time at a stretch, at this place ("wolf.lua:12", or "").
  std::function<void(const task_info&, duration ran, std::string_view where)> slow{};
  duration slow_slice = std::chrono::milliseconds(10);
};

// A record that a script has logged by perilune.log.
struct log_record {
  std::string_view level{};  // "debug", "info", "warn", "error"
  std::string_view message{};
  std::string_view line{};  // the whole record as perilune.log would have written it, without the end of the line
  std::uint64_t task = 0;   // 0 for none
  std::string_view task_name{};
};

// The source of a module that a script requires.
struct module_source {
  std::string text{};  // Lua
  std::string name{};  // what errors call it: "@creatures/wolf.lua"
};

}  // namespace perilune
