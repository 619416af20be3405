// The modules written in C++, by the name scripts require. Each opener leaves the module's table on the stack.
#pragma once

#include <iterator>

#include "library.hpp"

namespace perilune {

int open_editor(lua_State* L);
int open_json(lua_State* L);
int open_log(lua_State* L);
int open_net(lua_State* L);
int open_fs(lua_State* L);
int open_groups(lua_State* L);
int open_inspect_natives(lua_State* L);
int open_option_checks(lua_State* L);
int open_orphans(lua_State* L);
int open_process(lua_State* L);
int open_regex(lua_State* L);
int open_signal(lua_State* L);
int open_system(lua_State* L);
int open_terminal(lua_State* L);
int open_trace(lua_State* L);
// Where their libraries were found, see CMakeLists.txt.
int open_db(lua_State* L);
int open_hash(lua_State* L);
int open_tls(lua_State* L);
int open_toml(lua_State* L);

inline constexpr library_function native_modules[] = {
    {"perilune.json", open_json},
    {"perilune.native.editor", open_editor},
    {"perilune.native.log", open_log},
    {"perilune.native.fs", open_fs},
    {"perilune.native.groups", open_groups},
    {"perilune.native.inspect", open_inspect_natives},
    {"perilune.native.net", open_net},
    {"perilune.native.options", open_option_checks},
    {"perilune.native.orphans", open_orphans},
    {"perilune.native.process", open_process},
    {"perilune.native.regex", open_regex},
    {"perilune.signal", open_signal},
    {"perilune.native.system", open_system},
    {"perilune.native.terminal", open_terminal},
    {"perilune.native.trace", open_trace},
#ifdef PERILUNE_HAS_DB
    {"perilune.native.db", open_db},
#endif
#ifdef PERILUNE_HAS_HASH
    {"perilune.hash", open_hash},
#endif
#ifdef PERILUNE_HAS_TLS
    {"perilune.native.tls", open_tls},
#endif
#ifdef PERILUNE_HAS_TOML
    {"perilune.native.toml", open_toml},
#endif
};

}  // namespace perilune
