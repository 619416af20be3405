// Asynchronous native functions: a completion from whatever thread, once, and what happens to one that comes too late.
#include <perilune/host.hpp>
#include <perilune/timer.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

script_outcome run(const host& h, std::string_view source, value_list arguments = {}) {
  auto made = h.load(source, "=test");
  REQUIRE(made);
  return h.run(*made, std::move(arguments));
}

}  // namespace

TEST_CASE("a call is resolved by another thread, and the task goes on with the results") {
  host h;
  std::vector<std::thread> threads;
  h.define_async("db.query", [&](args a, completion done) {
    threads.emplace_back([sql = a.get<std::string>(0), done] { done.resolve("rows of " + sql, 3); });
  });
  const auto end = run(h, R"(local peri = require "perilune"
    local list = {}
    for i = 1, 8 do list[i] = function() return db.query("q" .. i) end end
    local all = peri.all(list)
    return all[1][1], all[8][1], all[8][2])");
  for (auto& t : threads) t.join();
  REQUIRE(end.returned());
  CHECK(end.results()[0].as<std::string>() == "rows of q1");
  CHECK(end.results()[1].as<std::string>() == "rows of q8");
  CHECK(end.results()[2].as<int>() == 3);
}

TEST_CASE("a call may end before its function returns; typed parameters are checked before it begins") {
  host h;
  int begun = 0;
  h.define_async("now", [&](int n, completion done) {
    ++begun;
    CHECK(done.resolve(n + 1));
    CHECK_FALSE(done.resolve(0));
    CHECK_FALSE(done.fail("late"));
  });
  CHECK(run(h, "return now(4)").result().as<int>() == 5);
  const auto bad = run(h, "now('x')");
  CHECK(bad.error().message.find("bad argument #1 to 'now' (integer expected, got string)") != std::string::npos);
  CHECK(begun == 1);
}

TEST_CASE("a task that waits for the host says for which of its functions") {
  host h;
  std::optional<completion> open;
  h.define_async("db.query", [&](completion done) { open = done; });
  h.define_task("crawl", []() -> task<> { co_await sleep(1h); });
  const auto asks = h.load("db.query()", "=test");
  const auto crawls = h.load("crawl()", "=test");
  h.spawn(*asks);
  h.spawn(*crawls);
  h.tick();
  CHECK(h.dump().find("waits in db.query on a native call at test:1") != std::string::npos);
  CHECK(h.dump().find("waits in crawl on a native task at test:1") != std::string::npos);
}

TEST_CASE("a call that fails raises; one that is dropped says so") {
  host h;
  h.define_async("fails", [](completion done) { done.fail(error{error_kind::io, "connection lost", 104, {}}); });
  h.define_async("forgets", [](completion) {});
  CHECK(run(h, "local ok, e = pcall(fails) return e.kind, e.code").results()[1].as<std::string>() == "ECONNRESET");
  CHECK(run(h, "forgets()").error().message.find("dropped the call without an end") != std::string::npos);
}

TEST_CASE("a cancelled call tells the host once, and what comes afterwards is refused") {
  virtual_clock time;
  time.auto_advance(true);
  host h({.clock = &time});
  std::optional<completion> kept;
  int cancelled = 0;
  h.define_async("slow", [&](completion done) {
    kept = done;
    done.on_cancel([&] { ++cancelled; });
  });
  const auto end = run(h, R"(local peri = require "perilune"
    local t = peri.spawn(slow)
    peri.yield()
    t:cancel("enough")
    local ok, e = t:join()
    return e.kind)");
  CHECK(end.result().as<std::string>() == "cancelled");
  CHECK(cancelled == 1);
  CHECK(kept->cancelled());
  CHECK_FALSE(kept->resolve(1));
  int late = 0;
  kept->on_cancel([&] { ++late; });
  CHECK(late == 1);
}

TEST_CASE("a completion may outlive its host, on any thread") {
  std::optional<completion> kept;
  std::optional<value> function;
  {
    host h;
    h.define_async("slow", [&](value v, completion done) {
      kept = done;
      function = v;
    });
    auto made = h.load("slow(print)");
    REQUIRE(made);
    const auto task = h.spawn(*made);
    REQUIRE(task);
    h.tick();
    REQUIRE(kept);
  }
  CHECK(kept->cancelled());
  std::thread([&] {
    CHECK_FALSE(kept->resolve(*function));
    kept.reset();
    function.reset();
  }).join();
}

TEST_CASE("many threads end many calls, each once, while tasks are cancelled") {
  host h;
  std::atomic<int> accepted{0};
  std::mutex mutex;
  std::vector<completion> pending;
  std::atomic<bool> over{false};
  h.define_async("wait", [&](completion done) {
    const std::lock_guard lock(mutex);
    pending.push_back(done);
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      while (!over) {
        std::optional<completion> next;
        {
          const std::lock_guard lock(mutex);
          if (!pending.empty()) {
            next = pending.back();
            pending.pop_back();
          }
        }
        if (next && next->resolve(1)) ++accepted;
      }
    });
  const auto end = run(h, R"(local peri = require "perilune"
    local got, lost = 0, 0
    for round = 1, 50 do
      local list = {}
      for i = 1, 20 do list[i] = peri.spawn(wait) end
      peri.yield()
      for i = 1, 20, 3 do list[i]:cancel() end
      for i = 1, 20 do if list[i]:join() then got = got + 1 else lost = lost + 1 end end
    end
    return got, lost)");
  over = true;
  for (auto& t : threads) t.join();
  REQUIRE(end.returned());
  CHECK(*end.results()[0].as<int>() + *end.results()[1].as<int>() == 1000);
  CHECK(*end.results()[0].as<int>() <= accepted);
}
