// What embedding costs: calls of native functions, values, ticks, frames, memory, start-up. Prints a line for each figure; those that
// can be compared stand beside the same by Lua's own interface.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <time.h>

#include <lua.hpp>

#include <perilune/host.hpp>

using namespace perilune;
using namespace std::chrono_literals;

namespace {

using steady = std::chrono::steady_clock;

double ns_since(steady::time_point begun, double divided_by) {
  return static_cast<double>(std::chrono::nanoseconds(steady::now() - begun).count()) / divided_by;
}

void print(const char* what, double figure, const char* unit) { std::printf("%-44s %12.1f %s\n", what, figure, unit); }

// The best of five, in nanoseconds for one of `count`.
template <class F>
double best_of_five(double count, F body) {
  double best = 1e18;
  for (int i = 0; i < 5; ++i) {
    const auto begun = steady::now();
    body();
    best = std::min(best, ns_since(begun, count));
  }
  return best;
}

script loaded(const host& h, std::string_view text) {
  auto made = h.load(text, "=bench");
  if (!made) std::abort();
  return *made;
}

int add_directly(lua_State* L) {
  lua_pushnumber(L, luaL_checknumber(L, 1) + luaL_checknumber(L, 2));
  return 1;
}
int join_directly(lua_State* L) {
  std::size_t size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  lua_pushlstring(L, text, size);
  return 1;
}

constexpr const char* calls = "local f, n = ... for i = 1, n do f(i, 2) end";
constexpr const char* text_calls = "local f, n = ... for i = 1, n do f('some text') end";
constexpr int call_count = 1'000'000;

void native_calls(const host& h) {
  lua_State* L = luaL_newstate();
  luaL_openlibs(L);
  const auto directly = [&](const char* source, lua_CFunction fn) {
    luaL_loadstring(L, source);
    lua_pushcfunction(L, fn);
    lua_pushinteger(L, call_count);
    lua_call(L, 2, 0);
  };
  h.define("add", [](double a, double b) { return a + b; });
  h.define("same", [](std::string_view text) { return std::string(text); });
  h.define_async("at_once", [](double a, double b, completion done) { done.resolve(a + b); });
  h.define_task("coroutine", [](double a, double b) -> task<double> { co_return a + b; });
  const auto by_host = [&](const char* source, const char* name) {
    const script loop = loaded(h, source);
    const value fn = *h.get(name);
    return best_of_five(call_count, [&] { static_cast<void>(h.run(loop, {fn, call_count})); });
  };
  print("call of a native function, two numbers", by_host(calls, "add"), "ns");
  print("  the same by Lua's interface", best_of_five(call_count, [&] { directly(calls, add_directly); }), "ns");
  print("call with a string each way", by_host(text_calls, "same"), "ns");
  print("  the same by Lua's interface", best_of_five(call_count, [&] { directly(text_calls, join_directly); }), "ns");
  print("asynchronous call, resolved at once", by_host(calls, "at_once"), "ns");
  print("C++ coroutine, ends at once", by_host(calls, "coroutine"), "ns");
  lua_close(L);
}

// The same table by Lua's interface: from C++ values that are there, into C++ values that are made.
void table_directly(lua_State* L, const table& t) {
  lua_createtable(L, static_cast<int>(t.items.size()), static_cast<int>(t.fields.size()));
  for (lua_Integer i = 1; i <= 3; ++i) lua_pushinteger(L, i), lua_rawseti(L, -2, i);
  lua_pushlstring(L, t.items[3].string()->data(), t.items[3].string()->size());
  lua_rawseti(L, -2, 4);
  for (const auto& [key, field] : t.fields) {
    lua_pushlstring(L, key.string()->data(), key.string()->size());
    lua_pushnumber(L, *field.number());
    lua_rawset(L, -3);
  }
  lua_setglobal(L, "t");
}

std::size_t read_directly(lua_State* L) {
  std::vector<std::pair<std::string, double>> fields;
  lua_getglobal(L, "t");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      fields.emplace_back(lua_tostring(L, -2), lua_tonumber(L, -1));
    else if (lua_type(L, -1) == LUA_TSTRING)
      fields.emplace_back(lua_tostring(L, -1), 0);
    else
      fields.emplace_back(std::string(), lua_tonumber(L, -1));
  }
  lua_settop(L, 0);
  return fields.size();
}

void values(const host& h) {
  table t(value_list{1, 2, 3, "four"});
  for (int i = 0; i < 6; ++i) t.fields.emplace_back("field" + std::to_string(i), i * 1.5);
  const value given(t);
  constexpr int count = 100'000;
  const auto times = [](auto body) {
    return best_of_five(count, [&] {
      for (int i = 0; i < count; ++i) body();
    });
  };
  lua_State* L = luaL_newstate();
  print("a table of 10 entries into the VM", times([&] { h.set("t", given); }), "ns");
  print("  the same by Lua's interface", times([&] { table_directly(L, t); }), "ns");
  print("a table of 10 entries out of the VM", times([&] { static_cast<void>(h.get("t")); }), "ns");
  print("  the same by Lua's interface, into a vector", times([&] { static_cast<void>(read_directly(L)); }), "ns");
  print("an integer into the VM", times([&] { h.set("n", 1); }), "ns");
  lua_close(L);
}

// What this thread has computed, in microseconds: whatever else the machine does, that is not in it.
double computed() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

void print_spread(const std::string& what, std::vector<double>& list, const char* unit) {
  std::sort(list.begin(), list.end());
  print((what + ": median").c_str(), list[list.size() / 2], unit);
  print((what + ": p99").c_str(), list[list.size() * 99 / 100], unit);
  print((what + ": max").c_str(), list.back(), unit);
}

// Creatures begin at different times. Otherwise all with the same number of frames to sleep wake in the same frame for ever, and
// the spread tells how many that are.
constexpr const char* creature = R"(local peri, n = require "perilune", ...
  local x = 0
  peri.sleep(n / 7000)
  while true do
    x = x + #tostring(n)
    local seen = { x = x, n = n }
    peri.sleep(0.1 + n / 10000)
  end)";

void frames() {
  manual_clock clock;
  host h({.clock = &clock, .gc = gc::manual});
  print("idle tick",
        best_of_five(1e6,
                     [&] {
                       for (int i = 0; i < 1'000'000; ++i) h.tick();
                     }),
        "ns");
  const script life = loaded(h, creature);
  for (int i = 0; i < 1000; ++i) h.spawn(life, {i});
  h.tick();
  std::vector<double> took, cost, ran, collected;
  for (int frame = 0; frame < 10'000; ++frame) {
    clock.advance(16'666'667ns);
    const auto begun = steady::now();
    const double before = computed();
    const tick_report report = h.tick({.time = 2ms});
    cost.push_back(computed() - before);
    took.push_back(ns_since(begun, 1000));
    ran.push_back(static_cast<double>(report.resumed));
    const auto collecting = steady::now();
    if (report.slack > 200us) h.collect_for(300us);
    collected.push_back(ns_since(collecting, 1000));
  }
  print_spread("frame, 1000 tasks, 2 ms budget", took, "us");
  print_spread("  time of the thread", cost, "us");
  print_spread("  tasks that ran", ran, "");
  print_spread("collect_for(300us)", collected, "us");
  print("memory after 10,000 frames", static_cast<double>(h.memory_used()) / 1024, "KiB");
}

}  // namespace

int main() {
  print("start-up and end of a host", best_of_five(1, [] { host h; }) / 1000, "us");
  lua_State* bare = nullptr;
  print("  luaL_newstate, openlibs, close",
        best_of_five(1, [&] { bare = luaL_newstate(), luaL_openlibs(bare), lua_close(bare); }) / 1000, "us");
  host h;
  print("memory of an empty host's VM", static_cast<double>(h.memory_used()) / 1024, "KiB");
  native_calls(h);
  values(h);
  frames();
  return 0;
}
