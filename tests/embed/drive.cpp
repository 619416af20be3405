// The ways to drive a host: ticks with a budget, poll(2), a manual clock, spare time for the collector.
#include <perilune/host.hpp>
#include <perilune/host_thread.hpp>
#include <perilune/native.hpp>

#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include <poll.h>

#include <asio/io_context.hpp>

#include <perilune/asio.hpp>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

// Also on other threads, where nothing may be asserted.
script loaded(const host& h, std::string_view source) {
  auto made = h.load(source, "=test");
  if (!made) throw std::invalid_argument(made.error().message);
  return *made;
}

int wait_for(int fd, std::optional<duration> limit) {
  pollfd ready{fd, POLLIN, 0};
  const auto ms = limit ? static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*limit).count()) : 20'000;
  return ::poll(&ready, 1, ms);
}

}  // namespace

TEST_CASE("a tick stops at its budget, says what ran, what lives and the slack, and never blocks") {
  manual_clock clock;
  host h({.clock = &clock});
  const script loop = loaded(h, "local peri = require 'perilune' while true do peri.yield() end");
  for (int i = 0; i < 10; ++i) h.spawn(loop);
  h.spawn(loaded(h, "require('perilune').sleep(3)"));
  const tick_report few = h.tick({.resumes = 100});
  CHECK(few.resumed == 100);
  CHECK(few.live == 11);
  CHECK_FALSE(few.idle);
  const tick_report timed = h.tick({.time = 50ms});
  CHECK(timed.resumed > 100);
  CHECK(timed.slack == 0ns);
  CHECK(timed.next_deadline == instant(3s));
  h.cancel_all("enough");
  const tick_report last = h.tick({.time = 10s});
  CHECK(last.live == 0);
  CHECK(last.idle);
  CHECK(last.slack > 5s);
}

TEST_CASE("time is the host's: pause and slow motion") {
  manual_clock clock;
  host h({.clock = &clock});
  const auto task = h.spawn(loaded(h, "local peri = require 'perilune' peri.sleep(1) return peri.now()"));
  h.tick();
  CHECK(h.next_deadline() == duration(1s));
  for (int frame = 0; frame < 100; ++frame) h.tick();  // a pause
  CHECK_FALSE(task.done());
  for (int frame = 0; frame < 4; ++frame) clock.advance(250ms), h.tick();
  CHECK(task.outcome().result().as<double>() == 1.0);
  CHECK(h.next_deadline() == std::nullopt);
}

TEST_CASE("any loop drives a host by one descriptor and a deadline: timers, I/O and other threads under poll(2)") {
  host h;
  std::thread other;
  h.define_async("elsewhere", [&](completion done) { other = std::thread([done] { done.resolve("from a thread"); }); });
  const auto fd = h.poll_fd();
  REQUIRE(fd);
  const auto task = h.spawn(loaded(h, R"(local peri = require "perilune"
    peri.sleep(0.01)
    local out = peri.process.run { argv = { "echo", "hello" } }.stdout
    return elsewhere(), out)"));
  for (int waits = 0; !task.done() && waits < 1000; ++waits) {
    h.tick({.time = 1ms});
    if (!task.done()) wait_for(*fd, h.next_deadline());
  }
  if (task.done() && !task.outcome().returned()) FAIL(task.outcome().error().report());
  REQUIRE(task.done());
  other.join();
  const auto end = task.outcome();
  REQUIRE(end.returned());
  CHECK(end.results()[0].as<std::string>() == "from a thread");
  CHECK(end.results()[1].as<std::string>() == "hello\n");
  h.tick();
  CHECK(wait_for(*fd, 0ms) == 0);
  CHECK(h.post([] {}));
  CHECK(wait_for(*fd, std::nullopt) == 1);
  h.tick();
  CHECK(wait_for(*fd, 0ms) == 0);
  h.spawn(loaded(h, "return 1"));
  CHECK(h.next_deadline() == duration(0));
}

TEST_CASE("with gc::manual the collector works in spare time only") {
  manual_clock clock;
  host h({.clock = &clock, .gc = gc::manual});
  REQUIRE(h.run(loaded(h, "for i = 1, 1e5 do local t = { i } end")).returned());
  const auto before = h.memory_used();
  CHECK(before > 5'000'000);
  collect_report report;
  int calls = 0;
  for (; !report.finished && calls < 100'000; ++calls) {
    report = h.collect_for(100us);
    CHECK(report.spent < 100ms);
  }
  CHECK(report.finished);
  if (!h.collect_for(1s).finished) FAIL();
  CHECK(h.memory_used() < before / 2);
  CHECK(h.collect_for(1s).spent == 0ns);
}

TEST_CASE("steps of the collector are small: a call without time to speak of makes one of hundreds") {
  manual_clock clock;
  host h({.clock = &clock, .gc = gc::manual});
  REQUIRE(h.run(loaded(h, "kept = {} for i = 1, 1e5 do kept[i] = { i } end")).returned());
  int calls = 0;
  while (!h.collect_for(1ns).finished && calls < 100'000) ++calls;
  CHECK(calls > 100);
  CHECK(calls < 100'000);
}

TEST_CASE("joined to an io_context a host needs no driving: whoever runs the context runs the tasks") {
  asio::io_context io;
  host h{join(io.get_executor())};
  std::thread other;
  h.define_async("elsewhere", [&](completion done) { other = std::thread([done] { done.resolve(7); }); });
  const auto task = h.spawn(loaded(h, "local peri = require 'perilune' peri.sleep(0.01) return elsewhere()"));
  CHECK_FALSE(h.poll_fd());
  CHECK(h.run(loaded(h, "return 1")).error().message.find("joined") != std::string::npos);
  while (!task.done()) io.run_one();
  other.join();
  CHECK(task.outcome().result().as<int>() == 7);
}

TEST_CASE("a thread of ours drives a host: it is posted to, and ends with its closers") {
  std::promise<int> answer, closed;
  {
    host_thread scripts([&](host& h) {
      h.define("closed", [&] { closed.set_value(2); });
      h.define("answer", [&](int n) { answer.set_value(n); });
      h.spawn(loaded(h, R"(local peri = require "perilune"
        local _ <close> = peri.defer(function() closed() end)
        peri.sleep(1000))"));
    });
    CHECK(scripts.invalid().empty());
    CHECK(scripts.post([](host& h) { h.spawn(loaded(h, "require('perilune').sleep(0.001) answer(1)")); }));
    CHECK(answer.get_future().get() == 1);
    scripts.stop();
    CHECK_FALSE(scripts.post([](host&) {}));
  }
  CHECK(closed.get_future().get() == 2);
}

TEST_CASE("Lua's own interface is there for those who ask for it; what it raises is a status") {
  host h;
  int seen = 0;
  CHECK(call_lua(h, [](lua_State* L) { return ++*static_cast<int*>(lua_touserdata(L, 1)), 0; }, &seen));
  CHECK(seen == 1);
  const status raised = call_lua(h, [](lua_State* L) { return luaL_error(L, "no %s", "way"); });
  REQUIRE_FALSE(raised);
  CHECK(raised.error().message == "no way");
}
