// A host of a test: virtual time, one seed, and what it has to tell is told to nobody.
#pragma once

#include <string>

#include <perilune/clock.hpp>

#include "lua_host.hpp"

namespace perilune {

inline lua_host_options quiet_host(virtual_clock& time) {
  lua_host_options options;
  options.runtime.time = &time;
  options.runtime.seed = 1;
  options.runtime.on_stall = [](const std::string&) {};
  options.runtime.on_overstay = [](const task_header&) {};
  options.report = [](const std::string&) {};
  return options;
}

}  // namespace perilune
