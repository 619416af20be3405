// Deterministic hosts: ten runs are one run, a record runs again, and the first difference is named.
#include <perilune/replay.hpp>

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

// Creatures that wander at random, look at tables in the order of their keys, compute for long, and hear of the player.
constexpr std::string_view world_source = R"(
  local peri = require "perilune"
  world = { wolves = {}, sum = 0 }
  local heard = peri.unbounded {}
  function hear(what) heard:try_send(what) end
  for i = 1, 20 do
    peri.spawn({ name = "wolf" .. i, detached = true }, function()
      local me = { x = 0 }
      world.wolves["w" .. i] = me
      while true do
        me.x = me.x + math.random(-3, 3)
        for name, other in pairs(world.wolves) do
          if other.x == me.x and name ~= "w" .. i then world.sum = world.sum * 31 % 1000003 + #name break end
        end
        local n = 0
        for k = 1, 20000 do n = n + k % 7 end
        peri.select { peri.sleep_op(math.random(1, 4) / 10), peri.sleep_op(0.25) }
      end
    end)
  end
  peri.spawn({ detached = true }, function()
    for what in heard:iter() do world.sum = world.sum + what.by; world[what.name] = what.by end
  end))";

struct game {
  explicit game(std::uint64_t seed = 7)
      : h({.clock = &clock,
           .preempt = {.how = preemption::mode::fuel, .fuel = 5000},
           .seed = seed,
           .deterministic = true}),
        run(h, clock, {.apply = [this](const value& what) { hear(what); }, .watched = {"world"}}) {
    const auto made = h.load(world_source, "=world");
    REQUIRE(made);
    h.spawn(*made);
  }
  void hear(const value& what) {
    const auto function = h.get("hear");
    if (function && function->as<script>()) h.spawn(*function->as<script>(), {what});
  }
  void frame(int n) {
    if (n % 7 == 3) run.input(table({{"name", "key" + std::to_string(n % 3)}, {"by", n}}));
    run.tick(50ms);
  }

  manual_clock clock;
  host h;
  session run;
};

}  // namespace

TEST_CASE("ten runs of a deterministic host have the same state after every tick") {
  std::vector<std::uint64_t> first;
  for (int run = 0; run < 10; ++run) {
    game g;
    for (int n = 0; n < 60; ++n) {
      g.frame(n);
      if (run == 0) first.push_back(g.run.state_hash());
      REQUIRE(g.run.state_hash() == first[static_cast<std::size_t>(n)]);
    }
  }
  game other(8);
  bool differs = false;
  for (int n = 0; n < 60; ++n) {
    other.frame(n);
    differs |= other.run.state_hash() != first[static_cast<std::size_t>(n)];
  }
  CHECK(differs);
}

TEST_CASE("a record runs again, and a run that leaves it is told where") {
  game recorded;
  for (int n = 0; n < 30; ++n) recorded.frame(n);
  const std::string record = recorded.run.record();
  {
    game again;
    const auto end = again.run.replay(record);
    REQUIRE(end);
    CHECK_FALSE(*end);
    CHECK(again.run.record() == record);
  }
  game changed;
  changed.h.define("math.random", [calls = 0](int, std::optional<int>) mutable { return ++calls > 100 ? 2 : 1; });
  const auto end = changed.run.replay(record);
  REQUIRE(end);
  REQUIRE(*end);
  CHECK((*end)->text().find("tick ") == 0);
  CHECK((*end)->recorded != (*end)->now);
}

TEST_CASE("a text that is no record is refused, whatever is in it") {
  for (const char* text :
       {"", "perilune session 1\nwhat", "perilune session 1\ninput {i1;", "perilune session 1\ninput s9:x\n",
        "perilune session 1\ntick x y\n", "perilune session 1\n- s1:x\n"}) {
    game g;
    CHECK_FALSE(g.run.replay(text));
  }
}

TEST_CASE("pairs goes in the order of keys, and removal while it runs is seen") {
  host h({.seed = 1, .deterministic = true});
  const auto made = h.load(R"(
    local t = { b = 1, a = 2, [3] = "x", [1.5] = "y", [1] = "z", c = 3, [true] = 0 }
    local seen = {}
    for k in pairs(t) do seen[#seen + 1] = tostring(k) t.c = nil end
    local n = 0
    for _ in pairs(setmetatable({}, { __pairs = function() return next, { 1, 2 } end })) do n = n + 1 end
    return table.concat(seen, " "), n, pcall(function() for _ in pairs(nil) do end end))");
  REQUIRE(made);
  const auto end = h.run(*made);
  REQUIRE(end.returned());
  CHECK(end.result().as<std::string>() == "1 1.5 3 a b true");
  CHECK(end.results()[1].as<int>() == 2);
  CHECK(end.results()[2].as<bool>() == false);
}

TEST_CASE("isolates of a deterministic host have ordered pairs as well, whatever their profile") {
  host h({.seed = 1, .deterministic = true});
  const auto made = h.load(R"(
    local peri, seen = require "perilune", {}
    for _, profile in ipairs { "trusted", "tool", "untrusted" } do
      local vm <close> = peri.isolate { profile = profile }
      seen[#seen + 1] = vm:run("local s = '' for k in pairs { f = 1, b = 1, d = 1, a = 1, e = 1, c = 1 } do s = s .. k end return s"):await()
    end
    return table.concat(seen, " "))");
  REQUIRE(made);
  const auto end = h.run(*made);
  REQUIRE(end.returned());
  CHECK(end.result().as<std::string>() == "abcdef abcdef abcdef");
}
