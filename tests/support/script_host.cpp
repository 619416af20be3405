// Runs one script on a virtual clock, with a fixed seed, as `perilune run` would: script_host [--seed N] FILE [ARGS].
// A first line `-- fuel: N` bounds what a task may compute at a stretch. The exit status is the runner's. Failures that nobody looked at are collected: the script may take them.
//
// The script finds a global `native` with what a test cannot do in Lua alone: reports(), foreign_pcall(f, ...) and
// foreign_resume(co), which cross a C boundary that knows nothing of tasks, and throw(what), which throws in C++.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <lua.hpp>

#include <perilune/clock.hpp>
#include "lua/lua_host.hpp"

#include "lua/protect.hpp"
#include "lua/vm.hpp"

namespace {

std::vector<std::string>& reports() {
  static std::vector<std::string> texts;
  return texts;
}

int take_reports(lua_State* L) {
  lua_newtable(L);
  lua_Integer i = 0;
  for (const std::string& text : reports()) {
    lua_pushlstring(L, text.data(), text.size());
    lua_rawseti(L, -2, ++i);
  }
  reports().clear();
  return 1;
}

int foreign_pcall(lua_State* L) {
  const int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 1);
  return lua_gettop(L);
}

int foreign_resume(lua_State* L) {
  lua_State* co = lua_tothread(L, 1);
  int results = 0;
  const int status = lua_resume(co, L, 0, &results);
  lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
  lua_xmove(co, L, status == LUA_OK || status == LUA_YIELD ? results : 1);
  return lua_gettop(L) - 1;
}

perilune::reply throw_body(lua_State* L, perilune::vm&) {
  const char* what = lua_tostring(L, 1);
  if (what && !std::strcmp(what, "bad_alloc")) throw std::bad_alloc();
  if (what && !std::strcmp(what, "int")) throw 42;
  throw std::runtime_error(what ? what : "thrown");
}

int add_natives(lua_State* L) {
  const luaL_Reg functions[] = {{"reports", take_reports},
                                {"foreign_pcall", foreign_pcall},
                                {"foreign_resume", foreign_resume},
                                {"throw", perilune::protect::native<throw_body>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  lua_setglobal(L, "native");
  return 0;
}

bool read_file(const char* path, std::string& source) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  source.assign(std::istreambuf_iterator<char>(in), {});
  return true;
}

// Preemption by instructions, where the script's first line asks for it.
perilune::preemption rules_of(const std::string& source) {
  unsigned long long fuel = 0;
  if (std::sscanf(source.c_str(), "-- fuel: %llu", &fuel) != 1) return {};
  return {.how = perilune::preemption::mode::fuel, .fuel = fuel};
}

int run(const char* path, std::vector<std::string> arguments, std::uint64_t seed) {
  std::string source;
  if (!read_file(path, source)) return std::fprintf(stderr, "cannot open %s\n", path), 2;
  perilune::virtual_clock time;
  perilune::lua_host_options options;
  options.runtime.time = &time;
  options.runtime.seed = seed;
  options.preempt = rules_of(source);
  options.runtime.on_stall = [](const std::string& text) { reports().push_back("deadlock:\n" + text); };
  options.report = [](const std::string& text) { reports().push_back(text); };
  options.runtime.on_long_hold = [](const std::string& warning) { reports().push_back(warning); };
  options.runtime.on_overstay = [](const perilune::task_header& task) {
    reports().push_back("overstay: task " + std::to_string(task.id) + " at " + task.where());
  };
  perilune::lua_host scripts(std::move(options));
  perilune::protect::call_outside(scripts.machine().main(), add_natives, nullptr, nullptr);
  const perilune::script_end end = scripts.run(
      {.source = source, .name = std::string("@") + path, .program = path, .arguments = std::move(arguments)});
  for (const std::string& text : reports()) std::fprintf(stderr, "%s\n", text.c_str());
  if (end.exited) return end.exit_code;
  if (end.how != perilune::script_end::kind::returned)
    std::fprintf(stderr, "%s\n", end.report.empty() ? end.message.c_str() : end.report.c_str());
  if (end.how == perilune::script_end::kind::not_loaded) return 3;
  return end.how == perilune::script_end::kind::returned && reports().empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1;
  int file = 1;
  if (argc > 3 && !std::strcmp(argv[1], "--seed")) {
    seed = std::strtoull(argv[2], nullptr, 10);
    file = 3;
  }
  if (file >= argc) return std::fputs("usage: script_host [--seed N] FILE [ARGS]\n", stderr), 2;
  return run(argv[file], {argv + file + 1, argv + argc}, seed);
}
