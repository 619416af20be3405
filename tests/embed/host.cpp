// A host of scripts as a program sees it: loading, running, values, native functions, groups. Without a loop of its own.
#include <perilune/host.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/timer.hpp>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

script loaded(const host& h, std::string_view source) {
  auto made = h.load(source, "=test");
  REQUIRE(made);
  return *made;
}

script_outcome run(const host& h, std::string_view source, value_list arguments = {}) {
  return h.run(loaded(h, source), std::move(arguments));
}

std::string failure(const host& h, std::string_view source) {
  const auto end = run(h, source);
  REQUIRE(end.failed());
  return end.error().message;
}

}  // namespace

TEST_CASE("a script is loaded, run with arguments, and gives its results") {
  host h;
  const auto end = run(h, "local a, b = ... return a .. b, b + 1, nil, true", {"release", 4});
  REQUIRE(end.returned());
  REQUIRE(end.results().size() == 4);
  CHECK(end.result().as<std::string>() == "release4");
  CHECK(end.results()[1].as<int>() == 5);
  CHECK(end.results()[2].is_nil());
  CHECK(end.results()[3].as<bool>() == true);
}

TEST_CASE("what does not load says why, and what fails brings its report") {
  host h;
  const auto bad = h.load("local = 3", "=bad");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().message.rfind("bad:1:", 0) == 0);
  const auto missing = h.load_file("/nowhere/x.lua");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == error_kind::io);

  const auto end = run(h, "local function deep() error('no way') end deep()");
  REQUIRE(end.failed());
  CHECK(end.error().message.find("no way") != std::string::npos);
  CHECK(end.error().raised.as<std::string>()->find("test:1: no way") != std::string::npos);
  CHECK(end.error().report().find("traceback") != std::string::npos);
  CHECK(run(h, "error { code = 7 }").error().raised["code"].as<int>() == 7);
}

TEST_CASE("a run waits for what was spawned, on a clock that moves by itself") {
  virtual_clock time;
  host h({.clock = &time});
  const auto end = run(h, R"(local peri = require "perilune"
    local t = peri.spawn(function() peri.sleep(5) return "late" end)
    return t:await())");
  REQUIRE(end.returned());
  CHECK(end.result().as<std::string>() == "late");
  CHECK(time.now() == 5s);
}

TEST_CASE("tables go both ways, whole; functions by reference") {
  host h;
  table t({1, "two", value_list{3.5}});
  t.fields.emplace_back("name", "x");
  const auto end =
      run(h, "local t = ... t.name = t.name .. 'y' t[4] = { deep = true } return t, function(a) return a * 2 end", {t});
  REQUIRE(end.returned());
  const value& back = end.result();
  CHECK(back[0].as<int>() == 1);
  CHECK(back[1].as<std::string>() == "two");
  CHECK(back[2][0].as<double>() == 3.5);
  CHECK(back["name"].as<std::string>() == "xy");
  CHECK(back[3]["deep"].as<bool>() == true);
  CHECK(back["none"].is_nil());
  const auto twice = end.results()[1].as<script>();
  REQUIRE(twice);
  CHECK(h.run(*twice, {21}).result().as<int>() == 42);
}

TEST_CASE("conversions say what does not fit") {
  CHECK(value(300).as<unsigned char>() == std::nullopt);
  CHECK(value(-1).as<unsigned>() == std::nullopt);
  CHECK(value(2.0).as<int>() == 2);
  CHECK(value(2.5).as<int>() == std::nullopt);
  CHECK(value("x").as<int>() == std::nullopt);
  REQUIRE(value().as<std::optional<int>>());
  CHECK_FALSE(value().as<std::optional<int>>()->has_value());
  CHECK_FALSE(value("x").as<std::optional<int>>());
  CHECK(to_value(std::vector<int>{1, 2}).as<std::vector<int>>() == std::vector<int>{1, 2});
}

TEST_CASE("globals are set and read by their path") {
  host h;
  CHECK(h.set("config.window.width", 640));
  CHECK(run(h, "return config.window.width").result().as<int>() == 640);
  CHECK(run(h, "config.title = 'game'").returned());
  CHECK(h.get("config.title")->as<std::string>() == "game");
  CHECK(h.get("nowhere.at.all")->is_nil());
  CHECK(run(h, "taken = 1").returned());
  const auto refused = h.set("taken.by", 2);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("taken.by") != std::string::npos);
}

TEST_CASE("a native function has typed parameters; misuse names argument, expected and got, at the script's line") {
  host h;
  h.define("math2.clamp", [](double x, double lo, double hi) { return std::clamp(x, lo, hi); });
  CHECK(run(h, "return math2.clamp(11, 0, 10)").result().as<double>() == 10);
  const std::string bad = failure(h, "\nmath2.clamp(1, 'low', 2)");
  CHECK(bad.find("test:2: bad argument #2 to 'clamp' (number expected, got string)") != std::string::npos);
  CHECK(failure(h, "math2.clamp(1)").find("bad argument #2 to 'clamp' (number expected, got no value)") !=
        std::string::npos);

  h.define("small", [](std::uint8_t byte, bool, std::optional<std::string> text) {
    return std::tuple(byte, text.value_or("none"));
  });
  const auto both = run(h, "return small(7, true)");
  CHECK(both.results()[0].as<int>() == 7);
  CHECK(both.results()[1].as<std::string>() == "none");
  CHECK(failure(h, "small(256, true)").find("bad argument #1 to 'small' (small integer >= 0 expected, got 256)") !=
        std::string::npos);
  CHECK(failure(h, "small(1, 1)").find("bad argument #2 to 'small' (boolean expected, got 1)") != std::string::npos);

  h.define("sum", [](args a) {
    double total = 0;
    for (std::size_t i = 0; i < a.size(); ++i) total += a.get<double>(i);
    return total;
  });
  CHECK(run(h, "return sum(1, 2, 3.5)").result().as<double>() == 6.5);
  CHECK(failure(h, "sum(1, {})").find("bad argument #2 to 'sum' (number expected, got table)") != std::string::npos);
  CHECK(h.define("none", [] {}));
  CHECK(run(h, "return select('#', none())").result().as<int>() == 0);
}

TEST_CASE("a native function that throws or returns an error raises it in the script, which can catch it") {
  host h;
  h.define("throws", []() -> int { throw std::runtime_error("disk full"); });
  h.define("fails", []() -> result<int> { return error{error_kind::io, "no such thing", 2, {}}; });
  CHECK(failure(h, "throws()").find("disk full") != std::string::npos);
  CHECK(run(h, "local ok, e = pcall(throws) return ok, e.kind").results()[1].as<std::string>() == "error");
  CHECK(run(h, "local ok, e = pcall(fails) return e.kind, e.code").result().as<std::string>() == "io");
}

namespace {

struct npc {
  std::string name;
  int hp = 10;
  int hurt(int by) { return hp -= by; }
  const std::string& called() const { return name; }
};

}  // namespace

TEST_CASE("objects of the host's have methods, are the same in both worlds, and live as long as anybody holds them") {
  const auto wolf = std::make_shared<npc>(npc{"wolf"});
  std::weak_ptr<npc> watched = wolf;
  {
    host h;
    auto made = h.define_class<npc>("npc");
    made.method("hurt", &npc::hurt).method("name", &npc::called).method("heal", [](npc& n, int by) { n.hp += by; });
    CHECK(made.end());
    h.define("same", [](std::shared_ptr<npc> a, npc& b) { return a.get() == &b; });
    const auto end = run(h, R"(local n, again = ...
      n:heal(5)
      kept = n
      return n:hurt(3), n:name(), n == again, same(n, again), n)",
                         {wolf, wolf});
    REQUIRE(end.returned());
    CHECK(end.results()[0].as<int>() == 12);
    CHECK(end.results()[1].as<std::string>() == "wolf");
    CHECK(end.results()[2].as<bool>() == true);
    CHECK(end.results()[3].as<bool>() == true);
    CHECK(end.results()[4].as<std::shared_ptr<npc>>() == wolf);
    CHECK(failure(h, "kept.hurt(3, 4)").find("object of another type expected, got 3") != std::string::npos);
    CHECK(failure(h, "kept:hurt('x')").find("bad argument #1 to 'hurt' (integer expected, got string)") !=
          std::string::npos);
  }
  CHECK(watched.use_count() == 1);
}

TEST_CASE("a coroutine of the host's runs below the calling task") {
  virtual_clock time;
  host h({.clock = &time});
  h.define_task("crawl", [](std::string url) -> task<int> {
    co_await sleep(2s);
    if (url.empty()) throw std::runtime_error("no url");
    co_return static_cast<int>(url.size());
  });
  h.define_task("nap", []() -> task<void> { co_await sleep(1s); });
  CHECK(run(h, "return crawl('abc')").result().as<int>() == 3);
  CHECK(time.now() == 2s);
  CHECK(run(h, "return select('#', nap())").result().as<int>() == 0);
  CHECK(failure(h, "crawl('')").find("no url") != std::string::npos);
  CHECK(failure(h, "crawl(1)").find("bad argument #1 to 'crawl' (string expected, got 1)") != std::string::npos);
  const auto cancelled = run(h, R"(local peri = require "perilune"
    local t = peri.spawn(crawl, "x")
    peri.sleep(0.5) t:cancel("enough")
    local ok, e = t:join()
    return e.kind, peri.now())");
  CHECK(cancelled.result().as<std::string>() == "cancelled");
}
