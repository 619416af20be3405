// The end of a runtime and its blocking calls: what is waited for, what is named and left behind, and what never runs.
#include <perilune/blocking.hpp>
#include <perilune/runtime.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "engine/gate.hpp"
#include "support/catch.hpp"

using namespace perilune;
using namespace perilune::test;
using namespace std::chrono_literals;

namespace {

// Returns once a call waits at the gate.
void begin_stuck_call(runtime& rt, const std::shared_ptr<gate>& g, std::promise<void>& gone) {
  rt.spawn([](std::shared_ptr<gate> at, std::shared_ptr<void> last) -> task<void> {
    auto look = blocking([at, l = std::move(last)] { at->pass(); }, {.name = "frozen mount"});
    co_await look;
  }(g, farewell(gone)));
  rt.tick();
  g->begun.wait();
}

}  // namespace

TEST_CASE("RUN-05: an end with a stuck call returns and names it", "[blocking]") {
  auto g = std::make_shared<gate>();
  std::promise<void> gone;
  std::vector<std::string> stuck;
  {
    runtime rt({.grace = 0s,
                .on_overstay = [](const task_header&) {},
                .on_stuck = [&](const char* name) { stuck.push_back(name); }});
    begin_stuck_call(rt, g, gone);
  }
  CHECK(stuck == std::vector<std::string>{"frozen mount"});
  g->open.count_down();
  gone.get_future().wait();
}

TEST_CASE("RUN-05: a call whose task was killed has had its time, and does not hold the end once more", "[blocking]") {
  auto g = std::make_shared<gate>();
  std::promise<void> gone;
  std::vector<std::string> stuck;
  const auto begun = std::chrono::steady_clock::now();
  {
    runtime rt({.grace = 120s, .on_stuck = [&](const char* name) { stuck.push_back(name); }});
    begin_stuck_call(rt, g, gone);
    rt.kill_all(cancel_source::signal, "SIGINT", "SIGINT");
    rt.tick();
  }
  CHECK(std::chrono::steady_clock::now() - begun < 60s);
  CHECK(stuck == std::vector<std::string>{"frozen mount"});
  g->open.count_down();
  gone.get_future().wait();
}

TEST_CASE("RUN-15: a read that never ends is not waited for at the end", "[blocking]") {
  auto g = std::make_shared<gate>();
  std::promise<void> gone;
  std::vector<std::string> stuck;
  {
    runtime rt({.on_stuck = [&](const char* name) { stuck.push_back(name); }});
    auto end = rt.run([](std::shared_ptr<gate> at, std::shared_ptr<void> last) -> task<void> {
      auto read = [](std::shared_ptr<gate> a, std::shared_ptr<void> kept) -> task<void> {
        auto line = blocking([a, l = std::move(kept)] { a->pass(); }, {.name = "read stdin", .abandonable = true});
        co_await line;
      };
      spawn(read(at, std::move(last)), {.daemon = true});
      co_await yield();
      at->begun.wait();
    }(g, farewell(gone)));
    CHECK(end.returned());
  }
  CHECK(stuck.empty());
  g->open.count_down();
  gone.get_future().wait();
}

TEST_CASE("RUN-05: what is still queued at the end never runs", "[blocking]") {
  gate g;
  std::atomic<bool> ran{false};
  {
    runtime rt({.blocking_threads = 1});
    rt.spawn([](gate& at) -> task<void> { co_await blocking([&at] { at.pass(); }); }(g));
    rt.spawn([](std::atomic<bool>& r) -> task<void> { co_await blocking([&r] { r = true; }); }(ran));
    rt.tick();
    g.begun.wait();
    rt.cancel_all(cancel_source::shutdown, "end", "test");
    g.open.count_down();
  }
  CHECK_FALSE(ran);
}
