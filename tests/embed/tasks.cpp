// Tasks, groups, hooks, logging, modules and limits of a host that drives itself by ticks.
#include <perilune/host.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

script loaded(const host& h, std::string_view source) {
  auto made = h.load(source, "=test");
  REQUIRE(made);
  return *made;
}

}  // namespace

TEST_CASE("a group dies with its entity: its tasks are cancelled, closers run, who awaited them gets cancelled") {
  manual_clock clock;
  host h({.clock = &clock});
  std::vector<std::string> log;
  h.define("note", [&](std::string text) { log.push_back(std::move(text)); });
  const script ai = loaded(h, R"(local peri, who = require "perilune", ...
    local _ <close> = peri.defer(function() note(who .. " gone") end)
    peri.sleep(100))");
  std::optional<task_group> npc = h.make_group("npc:17");
  const script_task first = npc->spawn(ai, {"wolf"});
  npc->spawn(ai, {"cub"});
  const script_task waiting =
      h.spawn(loaded(h, "local t = ... local ok, e = t:join() note(e.kind) return e.reason"), {first});
  h.tick();
  CHECK(npc->live() == 2);
  CHECK(h.live_tasks() == 3);
  npc.reset();
  h.tick();
  CHECK(log == std::vector<std::string>{"wolf gone", "cancelled", "cub gone"});
  CHECK(first.outcome().cancelled());
  CHECK(waiting.outcome().returned());
  CHECK(h.live_tasks() == 0);
}

TEST_CASE("a group that was cancelled starts nothing more; a run does not mind groups") {
  host h;
  const task_group group = h.make_group("g");
  group.cancel("over");
  const auto task = group.spawn(loaded(h, "error 'never'"));
  h.tick();
  CHECK(task.outcome().cancelled());
  CHECK(task.outcome().error().message.find("over") != std::string::npos);
  CHECK(h.run(loaded(h, "return 1")).result().as<int>() == 1);
  CHECK_FALSE(h.dump().size());
}

TEST_CASE("a task tells its outcome again and again, and is joined, cancelled and named") {
  virtual_clock time;
  host h({.clock = &time});
  const auto task =
      h.spawn(loaded(h, "local peri = require 'perilune' peri.sleep(5) return peri.self().name"), {}, "sleeper");
  CHECK_FALSE(task.done());
  CHECK_FALSE(task.outcome().ended());
  h.tick();
  CHECK(h.dump().find("(sleeper) waiting, waits in sleep on a timer at test:1") != std::string::npos);
  CHECK(h.join(task).result().as<std::string>() == "sleeper");
  CHECK(task.outcome().result().as<std::string>() == "sleeper");
  CHECK_FALSE(task.cancel());
  const auto other = h.spawn(loaded(h, "require('perilune').sleep(5)"));
  CHECK(other.cancel("why not"));
  CHECK(h.join(other).cancelled());
}

TEST_CASE("hooks are told what tasks do") {
  virtual_clock time;
  std::vector<std::string> told;
  const auto note = [&](const char* what) {
    return [&told, what](const task_info& task) { told.push_back(std::string(what) + " " + std::string(task.name)); };
  };
  int slow = 0;
  host h({.clock = &time,
          .hooks = {.resumed = note("resumed"),
                    .suspended = [&](const task_info&,
                                     std::string_view waits) { told.emplace_back("waits for " + std::string(waits)); },
                    .done = note("done"),
                    .slow = [&](const task_info&, duration ran, std::string_view) { slow += ran >= 1ms; },
                    .slow_slice = 1ms}});
  CHECK(h.run(loaded(h, "require('perilune').sleep(1)")).returned());
  CHECK(told == std::vector<std::string>{"resumed main", "waits for sleep on a timer", "resumed main", "done main"});
  slow = 0;  // a busy machine makes any stretch slow
  CHECK(h.run(loaded(h, "local n = 0 for i = 1, 3e6 do n = n + i end")).returned());
  CHECK(slow >= 1);
}

TEST_CASE("records of perilune.log come to the host") {
  std::vector<std::string> records;
  host h({.log = [&](const log_record& r) {
    records.push_back(std::string(r.level) + ": " + std::string(r.message) + " by " + std::string(r.task_name));
  }});
  CHECK(h.run(loaded(h, "require('perilune').log.warn('low on fuel', { left = 3 })")).returned());
  CHECK(records == std::vector<std::string>{"warn: low on fuel by main"});
}

TEST_CASE("modules come from the host, and a reload keeps the old code when the new does not load") {
  std::map<std::string, std::string, std::less<>> modules{
      {"wolf", "local m = {} function m.bite() return 1 end function m.old() end return m"}};
  host h({.load_module = [&](std::string_view name) -> std::optional<module_source> {
    const auto found = modules.find(name);
    if (found == modules.end()) return std::nullopt;
    return module_source{found->second, "@" + found->first + ".lua"};
  }});
  REQUIRE(h.run(loaded(h, "wolf = require 'wolf' bite = function() return wolf.bite() end")).returned());
  const script bite = loaded(h, "return bite(), wolf == require 'wolf', wolf.old ~= nil");
  modules["wolf"] = "local m = {} function m.bite() return 2 end return m";
  CHECK(h.reload("wolf"));
  const auto second = h.run(bite);
  CHECK(second.results()[0].as<int>() == 2);
  CHECK(second.results()[1].as<bool>() == true);
  CHECK(second.results()[2].as<bool>() == false);
  for (const char* broken : {"return {", "error 'broken'", "require('perilune').sleep(1) return { bite = 3 }"}) {
    modules["wolf"] = broken;
    const status refused = h.reload("wolf");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find(broken[0] == 'e' ? "wolf.lua:1: broken" : "wolf") != std::string::npos);
    CHECK(h.run(bite).results()[0].as<int>() == 2);
  }
  const auto missing = h.run(loaded(h, "require 'cat'"));
  CHECK(missing.error().message.find("no module 'cat' of the host") != std::string::npos);
  CHECK_FALSE(h.reload("cat"));
}

TEST_CASE("limits: tasks and memory; the host lives on") {
  host h({.limits = {.memory = 8 << 20, .max_tasks = 3}});
  const auto many = h.run(loaded(h, R"(local peri = require "perilune"
    for i = 1, 2 do peri.spawn(peri.sleep, 0) end
    local ok, e = pcall(peri.spawn, peri.sleep, 0)
    return ok, e.kind)"));
  CHECK(many.results()[0].as<bool>() == false);
  CHECK(many.results()[1].as<std::string>() == "limit");
  const auto greedy = h.run(loaded(h, "local t = 'x' while true do t = t .. t end"));
  REQUIRE(greedy.failed());
  CHECK(greedy.error().kind == error_kind::limit);
  CHECK(h.run(loaded(h, "return 1")).returned());
  CHECK(h.memory_used() < (8U << 20));
}
