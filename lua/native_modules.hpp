// The modules written in C++, by the name scripts require. Each opener leaves the module's table on the stack.
#pragma once

#include <iterator>

#include "library.hpp"

namespace perilune {

int open_json(lua_State* L);
int open_log(lua_State* L);
int open_fs(lua_State* L);
int open_groups(lua_State* L);
int open_inspect_natives(lua_State* L);
int open_option_checks(lua_State* L);
int open_process(lua_State* L);
int open_signal(lua_State* L);

inline constexpr library_function native_modules[] = {
    {"perilune.json", open_json},
    {"perilune.native.log", open_log},
    {"perilune.native.fs", open_fs},
    {"perilune.native.groups", open_groups},
    {"perilune.native.inspect", open_inspect_natives},
    {"perilune.native.options", open_option_checks},
    {"perilune.native.process", open_process},
    {"perilune.signal", open_signal},
};

}  // namespace perilune
