// The profiles, and how a VM becomes one of them. See confine.hpp.
#include "confine.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>

#include "bounded.hpp"
#include "traceback.hpp"
#include "transfer.hpp"

namespace perilune {

namespace {

// Names in the order of the alphabet.
struct name_list {
  const std::string_view* begin;
  const std::string_view* end;
  bool empty() const noexcept { return begin == end; }
  bool has(std::string_view name) const noexcept { return std::binary_search(begin, end, name); }
};
template <std::size_t N>
consteval name_list list(const std::string_view (&names)[N]) {
  return std::is_sorted(names, names + N) ? name_list{names, names + N} : throw "the names are in no order";
}

constexpr std::string_view base_names[] = {
    "_G",      "_VERSION", "assert",       "collectgarbage", "error",    "getmetatable", "ipairs", "load",
    "next",    "pairs",    "pcall",        "print",          "rawequal", "rawget",       "rawlen", "rawset",
    "require", "select",   "setmetatable", "tonumber",       "tostring", "type",         "xpcall"};
constexpr std::string_view string_names[] = {"byte",    "char",  "find",   "format", "gmatch",   "gsub",
                                             "len",     "lower", "match",  "pack",   "packsize", "rep",
                                             "reverse", "sub",   "unpack", "upper"};
constexpr std::string_view table_names[] = {"concat", "insert", "move", "pack", "remove", "sort", "unpack"};
constexpr std::string_view math_names[] = {"abs", "acos",       "asin", "atan",      "ceil", "cos",    "deg",
                                           "exp", "floor",      "fmod", "huge",      "log",  "max",    "maxinteger",
                                           "min", "mininteger", "modf", "pi",        "rad",  "random", "randomseed",
                                           "sin", "sqrt",       "tan",  "tointeger", "type", "ult"};
constexpr std::string_view utf8_names[] = {"char", "charpattern", "codepoint", "codes", "len", "offset"};
constexpr std::string_view coroutine_names[] = {"close",   "create", "isyieldable", "resume",
                                                "running", "status", "wrap",        "yield"};
constexpr std::string_view time_names[] = {"clock", "date", "difftime", "time"};
constexpr std::string_view debug_names[] = {"traceback"};
constexpr std::string_view tool_os_names[] = {"clock",  "date",   "difftime", "getenv",
                                              "remove", "rename", "time",     "tmpname"};
constexpr std::string_view tool_io_names[] = {"close",  "input", "lines",  "open",    "output", "read",
                                              "stderr", "stdin", "stdout", "tmpfile", "type",   "write"};

constexpr const char* environment_key = "perilune.environment";

struct library {
  const char* name;
  lua_CFunction open;
  name_list untrusted;
  name_list tool;
};
constexpr library libraries[] = {
    {LUA_STRLIBNAME, luaopen_string, list(string_names), list(string_names)},
    {LUA_TABLIBNAME, luaopen_table, list(table_names), list(table_names)},
    {LUA_MATHLIBNAME, luaopen_math, list(math_names), list(math_names)},
    {LUA_UTF8LIBNAME, luaopen_utf8, list(utf8_names), list(utf8_names)},
    {LUA_COLIBNAME, luaopen_coroutine, list(coroutine_names), list(coroutine_names)},
    {LUA_OSLIBNAME, luaopen_os, list(time_names), list(tool_os_names)},
    {LUA_DBLIBNAME, luaopen_debug, list(debug_names), list(debug_names)},
    {LUA_IOLIBNAME, luaopen_io, {nullptr, nullptr}, list(tool_io_names)},
};

// Of the perilune table, and modules by their short names.
// clang-format off
constexpr std::string_view untrusted_parts[] = {
    "barrier", "broadcast", "cancel_requested", "channel", "choose", "clock", "critical", "data", "deadline", "defer", "groups",
    "interval", "is_error", "join_set", "keyed_mutex", "mutex", "notify", "now", "on_unobserved", "once", "oneshot", "perform",
    "retry", "rwlock", "scope", "select", "self", "semaphore", "shield", "sleep", "sleep_op", "spawn", "spawn_below_task_",
    "stream", "supervisor", "time_left", "timeout", "token", "try_select", "try_timeout", "unbounded", "until_op", "wait_group",
    "watch", "with_token", "yield"};
constexpr std::string_view tool_parts[] = {
    "buffer", "db", "env", "fs", "hash", "http", "json", "log", "nats", "net", "process", "queue", "shared", "shared_channel",
    "span", "tls", "toml", "trace", "worker_id", "workers"};
// clang-format on

// Functions of the base library in a form for such VMs; Lua's own is the upvalue of those that call it.

reply call_stock(lua_State* L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return action::call_plain;
}

reply refuse_change(lua_State*, vm& v) { return raise_text(v, "attempt to change a read-only table"); }

bool is_read_only(lua_State* L, int index) {
  if (luaL_getmetafield(L, index, "__newindex") == LUA_TNIL) return false;
  const bool refuses = lua_tocfunction(L, -1) == protect::native<refuse_change>;
  lua_pop(L, 1);
  return refuses;
}

reply rawset_body(lua_State* L, vm& v) {
  if (is_read_only(L, 1)) return refuse_change(L, v);
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  if (lua_isnone(L, 3))
    return v.message = "value expected", v.argument = lua_isnone(L, 2) ? 2 : 3, action::raise_argument;
  lua_settop(L, 3);
  if (lua_isnil(L, 2)) return raise_text(v, "table index is nil");
  if (lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) != lua_tonumber(L, 2))
    return raise_text(v, "table index is NaN");
  lua_rawset(L, 1);
  return 1;
}

// A finalizer runs where nothing can stop it.
reply setmetatable_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  if (!lua_isnil(L, 2) && !lua_istable(L, 2)) return wrong_type(L, v, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return raise_text(v, "cannot change a protected metatable");
  lua_settop(L, 2);
  if (lua_istable(L, 2)) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) {
      v.message = "a metatable without __gc expected: there are no finalizers here";
      v.argument = 2;
      return action::raise_argument;
    }
    lua_settop(L, 2);
  }
  lua_setmetatable(L, 1);
  return 1;
}

// Text only.
reply load_body(lua_State* L, vm&) {
  const char* mode = lua_isstring(L, 3) ? lua_tostring(L, 3) : "t";
  if (!std::strchr(mode, 't')) {
    lua_pushnil(L);
    lua_pushliteral(L, "attempt to load a binary chunk (only text is loaded here)");
    return 2;
  }
  protect::charge(L, lua_rawlen(L, 1) / 4);
  if (lua_gettop(L) < 3) lua_settop(L, 3);
  lua_pushliteral(L, "t");
  lua_replace(L, 3);
  return call_stock(L);
}

reply collectgarbage_body(lua_State* L, vm& v) {
  const char* what = lua_isnoneornil(L, 1) ? "collect" : lua_tostring(L, 1);
  if (!what || (std::strcmp(what, "collect") != 0 && std::strcmp(what, "count") != 0)) {
    v.message = "\"collect\" or \"count\" expected: the rest belongs to the host";
    v.argument = 1;
    return action::raise_argument;
  }
  if (!std::strcmp(what, "collect")) protect::charge(L, v.bytes_in_use() / 64);
  lua_settop(L, 1);
  return call_stock(L);
}

// Lua's own goes through the whole of a deep stack, many times.
reply traceback_body(lua_State* L, vm&) {
  lua_State* of = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  const int message = of == L && !lua_isthread(L, 1) ? 1 : 2;
  lua_settop(L, message + 1);
  if (!lua_isnil(L, message) && !lua_isstring(L, message)) return lua_settop(L, message), 1;
  constexpr lua_Integer most = 1000;
  const lua_Integer level = lua_isinteger(L, message + 1) ? lua_tointeger(L, message + 1) : of == L ? 1 : 0;
  push_traceback(L, of, lua_tostring(L, message), static_cast<int>(std::clamp<lua_Integer>(level, 0, most)));
  return 1;
}

// Iterates over a read-only table: the upvalue is the one behind it.
reply next_of(lua_State* L, vm&) {
  lua_settop(L, 2);
  return lua_next(L, lua_upvalueindex(1)) ? 2 : (lua_pushnil(L), 1);
}
reply pairs_of(lua_State* L, vm&) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, protect::native<next_of>, 1);
  lua_insert(L, 1);
  lua_pushnil(L);
  return 3;
}

// Replaces the table on top by one through which it is seen and cannot be changed.
void make_read_only(lua_State* L) {
  const int behind = lua_gettop(L);
  lua_newtable(L);
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, behind);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, protect::native<refuse_change>);
  lua_setfield(L, -2, "__newindex");
  lua_pushvalue(L, behind);
  lua_pushcclosure(L, protect::native<pairs_of>, 1);
  lua_setfield(L, -2, "__pairs");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_replace(L, behind);
}

// Takes from the table on top what is not in the list.
template <class Keeps>
void keep_only(lua_State* L, Keeps keeps) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING && keeps(lua_tostring(L, -1))) continue;
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, -4);
  }
}

// Sets a function of the table on top, with the present one as its upvalue.
void wrap(lua_State* L, const char* name, lua_CFunction function) {
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, function, 1);
  lua_setfield(L, -2, name);
}

constexpr std::string_view prefix = "perilune.";

// Whether a library, a function of the perilune table, or a module by its short name may be there.
bool allows(const vm& v, std::string_view part) noexcept {
  const sandbox& rules = v.options().rules;
  if (list(untrusted_parts).has(part) || (rules.kind == profile::tool && list(tool_parts).has(part))) return true;
  return std::any_of(rules.modules.begin(), rules.modules.end(), [part](std::string_view each) {
    if (each.starts_with(prefix)) each.remove_prefix(prefix.size());
    return each == part;
  });
}

name_list names_of(const vm& v, const library& each) noexcept {
  return v.options().rules.kind == profile::tool ? each.tool : each.untrusted;
}

// A library of the environment below: what may be there of it, behind a read-only table, becomes a global and a loaded module.
void confine_library(lua_State* L, const vm& v, const library& each, int environment, int globals, int loaded) {
  const name_list names = names_of(v, each);
  const bool whole = allows(v, each.name);
  lua_pushnil(L);
  lua_setfield(L, loaded, each.name);
  if (lua_getfield(L, environment, each.name) != LUA_TTABLE) return lua_pop(L, 1);
  if (!whole) keep_only(L, [names](const char* name) { return names.has(name); });
  make_read_only(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, loaded, each.name);
  lua_setfield(L, globals, each.name);
}

// Modules are found by the loader of the shipped ones only, in files where that is allowed, and are never native code. The
// package table is on top (popped).
void set_private_modules(lua_State* L) {
  lua_newtable(L);
  lua_setfield(L, -2, "loaded");
  lua_pushnil(L);
  lua_setfield(L, -2, "loadlib");
  lua_getfield(L, -1, "searchers");
  const lua_Integer first = vm_of(L).options().rules.kind == profile::tool ? 3 : 2;
  for (auto i = static_cast<lua_Integer>(lua_rawlen(L, -1)); i >= first; --i) {
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  lua_pop(L, 2);
}

// No script gets hold of a metatable that others share.
void hide_metatable(lua_State* L) {
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
void hide_metatables(lua_State* L) {
  lua_pushliteral(L, "");
  if (lua_getmetatable(L, -1)) hide_metatable(L);
  lua_pop(L, 1);
  if (luaL_getmetatable(L, LUA_FILEHANDLE) == LUA_TTABLE)
    hide_metatable(L);
  else
    lua_pop(L, 1);
}

void bound_library(lua_State* L, const char* name, void (*bound)(lua_State*)) {
  lua_getglobal(L, name);
  bound(L);
  lua_pop(L, 1);
}

void set_base_functions(lua_State* L) {
  constexpr library_function functions[] = {{"rawset", protect::native<rawset_body>},
                                            {"setmetatable", protect::native<setmetatable_body>}};
  set_functions(L, functions);
  push_require(L, true);
  lua_setfield(L, -2, "require");
  wrap(L, "load", protect::native<load_body>);
  wrap(L, "collectgarbage", protect::native<collectgarbage_body>);
}

}  // namespace

// A tool has modules of its own, in files.
bool allows_module(const vm& v, const char* name) noexcept {
  const std::string_view whole = name;
  if (v.trusted()) return true;
  if (whole.starts_with(prefix)) return allows(v, whole.substr(prefix.size()));
  return v.options().rules.kind == profile::tool || allows(v, whole);
}

void set_shipped_environment(lua_State* L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, environment_key) == LUA_TTABLE)
    lua_setupvalue(L, -2, 1);
  else
    lua_pop(L, 1);
}

void open_confined_libraries(lua_State* L) {
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  lua_pop(L, 1);
  luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
  set_private_modules(L);
  const vm& v = vm_of(L);
  for (const library& each : libraries) {
    if (names_of(v, each).empty() && !allows(v, each.name)) continue;
    luaL_requiref(L, each.name, each.open, 1);
    lua_pop(L, 1);
  }
  bound_library(L, LUA_STRLIBNAME, bound_patterns);
  bound_library(L, LUA_STRLIBNAME, bound_strings);
  bound_library(L, LUA_TABLIBNAME, bound_tables);
  bound_library(L, LUA_DBLIBNAME, [](lua_State* of) {
    constexpr library_function functions[] = {{"traceback", protect::native<traceback_body>}};
    set_functions(of, functions);
  });
}

void confine(lua_State* L) {
  const vm& v = vm_of(L);
  hide_metatables(L);
  push_loaded_modules(L);
  const int loaded = lua_gettop(L);
  lua_pushglobaltable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, environment_key);
  const int environment = loaded + 1;
  lua_createtable(L, 0, static_cast<int>(std::size(base_names) + std::size(libraries)));
  const int globals = environment + 1;
  for (const std::string_view name : base_names) {
    lua_getfield(L, environment, name.data());
    lua_setfield(L, globals, name.data());
  }
  lua_pushvalue(L, globals);
  lua_setfield(L, globals, LUA_GNAME);
  set_base_functions(L);
  for (const library& each : libraries) confine_library(L, v, each, environment, globals, loaded);
  lua_pushnil(L);
  lua_setfield(L, loaded, LUA_LOADLIBNAME);
  lua_pushvalue(L, globals);
  lua_setfield(L, loaded, LUA_GNAME);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  vm::push_registry(L, registry_slot::modules);
  keep_only(L, [&v](const char* name) { return allows(v, name); });
  make_read_only(L);
  lua_setfield(L, loaded, "perilune");
  lua_settop(L, loaded - 1);
}

}  // namespace perilune
