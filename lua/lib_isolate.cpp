// peri.isolate and what its VMs offer. See lua-api: Work off the loop, more cores, isolation.
#include <cmath>
#include <cstring>
#include <string_view>

#include "embedded_modules.hpp"
#include "isolate.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "option_table.hpp"

namespace perilune {

namespace {

// Options are read into the object, so that whatever raises meanwhile frees them.
struct isolate_handle {
  static constexpr std::uint64_t tag = 0x69736f6c'3c84f1d6ULL;
  sandbox rules{.kind = profile::untrusted};
  module_texts texts{};
  std::shared_ptr<isolate> made{};
};

constexpr std::size_t least_memory = std::size_t{256} * 1024;
constexpr std::size_t untrusted_memory = std::size_t{64} * 1024 * 1024;

// A number of bytes, or a text such as "16MiB"; 0 when it is neither, or none at all.
std::size_t bytes_at(lua_State* L, int index) noexcept {
  if (lua_type(L, index) == LUA_TNUMBER) {
    const double bytes = lua_tonumber(L, index);
    return bytes >= 1 && bytes < 0x1p53 ? static_cast<std::size_t>(bytes) : 0;
  }
  if (lua_type(L, index) != LUA_TSTRING) return 0;
  char* end = nullptr;
  const double count = std::strtod(lua_tostring(L, index), &end);
  constexpr struct {
    const char* name;
    double bytes;
  } units[] = {{"", 1},     {"B", 1},        {"kB", 1e3},     {"KB", 1e3},    {"MB", 1e6},
               {"GB", 1e9}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
  while (*end == ' ') ++end;
  for (const auto& unit : units)
    if (!std::strcmp(end, unit.name) && count * unit.bytes >= 1 && count * unit.bytes < 0x1p53)
      return static_cast<std::size_t>(count * unit.bytes);
  return 0;
}

// A whole number from `least` on, or `none`.
std::uint64_t count_at(lua_State* L, int index, double least) noexcept {
  const double count = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  return count >= least && count < 0x1p53 && count == std::floor(count) ? static_cast<std::uint64_t>(count)
                                                                        : run_limits::none;
}

reply read_memory(lua_State* L, vm& v, sandbox& rules) {
  rules.limits.memory = bytes_at(L, -1);
  if (rules.limits.memory >= least_memory) return 0;
  return bad_option(L, v, "memory", "isolate",
                    "a number of bytes, at least 256 KiB, or a text such as \"16MiB\" expected");
}

reply read_count(lua_State* L, vm& v, const char* name, double least, std::uint64_t& count) {
  count = count_at(L, -1, least);
  if (count != run_limits::none) return 0;
  return bad_option(L, v, name, "isolate",
                    least > 0 ? "a positive integer expected" : "a non-negative integer expected");
}

reply read_deadline(lua_State* L, vm& v, sandbox& rules) {
  const double seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
  if (!(seconds > 0)) return bad_option(L, v, "deadline", "isolate", "seconds, more than 0, expected");
  rules.each_run.deadline = from_seconds(seconds);
  return 0;
}

reply read_profile(lua_State* L, vm& v, sandbox& rules) {
  const std::string_view name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (name == "trusted") return rules.kind = profile::trusted, 0;
  if (name == "tool") return rules.kind = profile::tool, 0;
  if (name == "untrusted") return rules.kind = profile::untrusted, 0;
  return bad_option(L, v, "profile", "isolate", "\"trusted\", \"tool\" or \"untrusted\" expected");
}

// Whether there is such a module, such a function in the perilune table, or such a library of Lua's.
bool is_known(lua_State* L, std::string_view name) {
  constexpr std::string_view prefix = "perilune.";
  if (name == LUA_IOLIBNAME || name == LUA_OSLIBNAME || name == LUA_DBLIBNAME) return true;
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  const std::string whole = std::string(prefix) + std::string(name);
  if (find_embedded_module(whole)) return true;
  for (const library_function& module : native_modules)
    if (whole == module.name) return true;
  vm::push_registry(L, registry_slot::modules);
  lua_pushlstring(L, name.data(), name.size());
  const bool found = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return found;
}

reply refuse_module(vm& v, const char* why, const char* name) {
  return raise_text(v, std::string("bad option 'modules' to 'isolate' (") + why + " '" + name + "')");
}

// One entry of the list: its key at -2, its value at -1.
reply read_module(lua_State* L, vm& v, isolate_handle& to) {
  const bool own = lua_type(L, -2) == LUA_TSTRING;
  if (lua_type(L, -1) != LUA_TSTRING || (!own && !lua_isinteger(L, -2)))
    return bad_option(L, v, "modules", "isolate", "names, or Lua text by name, expected");
  const char* name = lua_tostring(L, own ? -2 : -1);
  if (own == is_known(L, name)) return refuse_module(v, own ? "there is already a module" : "no module", name);
  if (own) to.texts.emplace(name, lua_tostring(L, -1));
  to.rules.modules.emplace_back(name);
  return 0;
}

reply read_modules(lua_State* L, vm& v, isolate_handle& to) {
  if (!lua_istable(L, -1)) return bad_option(L, v, "modules", "isolate", "names, or Lua text by name, expected");
  const int list = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, list); lua_settop(L, list + 1))
    if (const reply refused = read_module(L, v, to); refused < 0) return refused;
  return 0;
}

// The value is on top of the stack.
reply read_option(lua_State* L, vm& v, const char* name, isolate_handle& to) {
  sandbox& rules = to.rules;
  if (!std::strcmp(name, "memory")) return read_memory(L, v, rules);
  if (!std::strcmp(name, "fuel")) return read_count(L, v, name, 1, rules.each_run.fuel);
  if (!std::strcmp(name, "output")) return read_count(L, v, name, 0, rules.each_run.output);
  if (!std::strcmp(name, "deadline")) return read_deadline(L, v, rules);
  if (!std::strcmp(name, "profile")) return read_profile(L, v, rules);
  if (!std::strcmp(name, "modules")) return read_modules(L, v, to);
  std::uint64_t tasks = 0;
  if (const reply refused = read_count(L, v, name, 1, tasks); refused < 0) return refused;
  rules.limits.max_tasks = static_cast<std::size_t>(tasks);
  return 0;
}

reply read_options(lua_State* L, vm& v, int index, isolate_handle& to) {
  constexpr const char* known[] = {"memory", "fuel", "deadline", "profile", "modules", "max_tasks", "output"};
  if (const reply refused = check_option_names(L, v, index, "isolate", known); refused < 0) return refused;
  const int top = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, index); lua_settop(L, top + 1))
    if (const reply refused = read_option(L, v, lua_tostring(L, top + 1), to); refused < 0) return refused;
  sandbox& rules = to.rules;
  if (rules.limits.memory == 0 && rules.kind == profile::untrusted) rules.limits.memory = untrusted_memory;
  return 0;
}

reply isolate_body(lua_State* L, vm& v) {
  lua_settop(L, 1);
  if (!lua_isnoneornil(L, 1) && !lua_istable(L, 1)) return bad_argument(v, 1, "a table of options expected", L);
  if (!v.has_worker()) return raise_text(v, "peri.isolate needs a task: there are none inside peri.blocking");
  auto& handle = push_object<isolate_handle>(L, type_name::isolate, 0);
  if (lua_istable(L, 1)) {
    if (const reply refused = read_options(L, v, 1, handle); refused < 0) return refused;
  } else {
    handle.rules.limits.memory = untrusted_memory;
  }
  handle.made = std::make_shared<isolate>(v, std::move(handle.rules), std::move(handle.texts));
  if (handle.made->opened()) return 1;
  handle.made.reset();
  return raise_error(v, {error_kind::limit, "not enough memory for one more VM", 0, {}});
}

isolate* isolate_at(lua_State* L) noexcept {
  isolate_handle* handle = to_object<isolate_handle>(L, 1);
  return handle ? handle->made.get() : nullptr;
}
reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "an isolate expected: call it with ':'", L); }

reply run_body(lua_State* L, vm& v) {
  const isolate* in = isolate_at(L);
  if (!in) return wrong_self(L, v);
  if (lua_type(L, 2) != LUA_TSTRING && !lua_isfunction(L, 2))
    return bad_argument(v, 2, "Lua text or a function expected", L);
  if (in->closed()) return raise_text(v, "the isolate is closed");
  if (const reply refused = check_room(v); refused < 0) return refused;
  spawn_request asked;
  asked.call = "run";
  asked.function = 2;
  asked.in = &object_at<isolate_handle>(L, 1).made;
  return spawn_remote(L, v, asked, run_in_isolate);
}

reply closed_body(lua_State* L, vm&) {
  isolate_at(L)->free();
  return 0;
}

reply close_body(lua_State* L, vm& v) {
  isolate* in = isolate_at(L);
  if (!in) return wrong_self(L, v);
  lua_settop(L, 1);
  in->close();
  if (in->drained().try_commit(v.running())) return closed_body(L, v);
  return wait_for(L, v, in->drained(), closed_body);
}

reply collect_isolate(lua_State* L, vm&) {
  object_at<isolate_handle>(L, 1).~isolate_handle();
  return 0;
}

reply index_isolate(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  const isolate* in = isolate_at(L);
  if (!in) return wrong_self(L, v);
  if (name == "memory_used") lua_pushinteger(L, static_cast<lua_Integer>(in->memory_used()));
  return 1;
}

}  // namespace

void open_isolates(lua_State* L) {
  constexpr library_function functions[] = {{"isolate", protect::native<isolate_body>}};
  set_functions(L, functions);
}

void define_isolate(lua_State* L) {
  constexpr library_function methods[] = {{"run", protect::native<run_body>}, {"close", protect::native<close_body>}};
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_isolate>},
                                              {"__close", protect::native<close_body>}};
  define_type(L, type_name::isolate, "perilune.isolate", methods, metamethods, protect::native<index_isolate>);
}

}  // namespace perilune
