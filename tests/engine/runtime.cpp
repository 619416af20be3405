// How runs begin, are driven and end, and what other threads may do to them.
#include <algorithm>
#include <atomic>
#include <thread>

#include <perilune/channel.hpp>
#include <perilune/scope.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

TEST_CASE("RUN-06: ending a run ends every task, joined or not, children before parents, and runs its closers") {
  trace seen;
  {
    world w;
    const auto family = [](trace& t) -> task<> {
      const closer guard(t, "parent");
      const auto child = spawn(sleep_until_ended(t, "child"));
      co_await sleep(duration::max());
    };
    w.rt.spawn(family(seen));
    w.rt.spawn(sleep_until_ended(seen, "alone"));
    w.rt.tick();
    CHECK(seen.empty());
    w.rt.end_all();
    CHECK(w.rt.worker_scheduler(0).live_tasks() == 0);
  }
  CHECK(seen.size() == 3);
  const auto at = [&](const char* text) { return std::find(seen.begin(), seen.end(), text) - seen.begin(); };
  CHECK(at("child") < at("parent"));
  CHECK(at("alone") < 3);
}

TEST_CASE("RUN-06: the destructor of a runtime does the same") {
  trace seen;
  {
    world w;
    w.rt.spawn(sleep_until_ended(seen, "ended"));
    w.rt.tick();
  }
  CHECK(seen == trace{"ended"});
}

TEST_CASE("RUN-08: run inside a task is refused at once, by its own runtime and by another") {
  world w;
  world other;
  w.run([&]() -> task<> {
    const auto own = w.rt.run(value_of(1));
    REQUIRE(own.failed());
    CHECK(describe_exception(own.exception()).kind == error_kind::misuse);
    CHECK(text_of(own.exception()) == "run called inside a task: await or join instead");
    CHECK(other.rt.run(value_of(1)).failed());
    co_return;
  });
}

TEST_CASE("RUN-10: while a host does not tick nothing runs, and nothing is lost") {
  manual_clock time;
  world w({.time = &time});
  trace seen;
  const auto body = [](trace& t) -> task<> {
    t.push_back("first");
    co_await sleep(10s);
    t.push_back("second");
  };
  w.rt.spawn(body(seen));
  CHECK(seen.empty());
  w.rt.tick();
  CHECK(seen == trace{"first"});
  time.advance(1000s);
  CHECK(seen == trace{"first"});
  const tick_report end = w.rt.tick();
  CHECK(seen == trace{"first", "second"});
  CHECK(end.live == 0);
}

TEST_CASE("RUN-11: the host is told once until it ticks, from whatever thread the wake comes") {
  std::atomic<int> told{0};
  world w({.on_ready = [&] { ++told; }});
  w.rt.tick();
  const int before = told;
  trace seen;
  std::thread([&] {
    for (int i = 0; i < 10; ++i)
      w.rt.post(0, [&] { spawn(note(seen, "posted"), {.below = &scheduler::here()->roots}); });
  }).join();
  CHECK(told == before + 1);
  CHECK(seen.empty());
  while (!w.rt.tick().idle) {
  }
  CHECK(seen.size() == 10);
  std::thread([&] { w.rt.post(0, [] {}); }).join();
  CHECK(told == before + 2);
}

TEST_CASE("RUN-13: options that make no sense are refused, and say which") {
  const auto refusal = [](runtime_options options) {
    runtime rt(std::move(options));
    REQUIRE(rt.invalid());
    const auto end = rt.run(value_of(1));
    CHECK(end.failed());
    return rt.invalid()->message;
  };
  CHECK_THAT(refusal({.workers = 0}), Catch::Contains("workers"));
  CHECK_THAT(refusal({.grace = -1s}), Catch::Contains("grace"));
  CHECK(!world().rt.invalid());
}

TEST_CASE("COP-03: timers and messages are looked at while the run queue never empties") {
  steady_clock time;
  world w({.time = &time});
  std::atomic<bool> posted{false};
  std::thread other;
  w.run([&]() -> task<> {
    bool slept = false;
    const auto sleeps = [](bool& done) -> task<> {
      co_await sleep(1ms);
      done = true;
    };
    const auto timer = spawn(sleeps(slept));
    other = std::thread([&] { w.rt.post(0, [&] { posted = true; }); });
    while (!slept || !posted) co_await yield();
  });
  other.join();
  CHECK(posted);
}

TEST_CASE("CAN-08, SND-06: a cancel and a wake from another thread are carried out on the thread of the task") {
  steady_clock time;
  world w({.time = &time});
  std::vector<std::thread::id> seen;
  struct here {
    std::vector<std::thread::id>& seen;
    ~here() { seen.push_back(std::this_thread::get_id()); }
  };
  std::thread other;
  w.run([&]() -> task<> {
    channel<int> values(0);
    const auto waits = [](auto& ids) -> task<> {
      const here guard{ids};
      co_await sleep(duration::max());
    };
    const auto receives = [](auto& ids, channel<int>& from) -> task<> {
      const here guard{ids};
      co_await from.recv();
    };
    auto cancelled = spawn(waits(seen));
    auto woken = spawn(receives(seen, values));
    co_await yield();
    other = std::thread([&] {
      w.rt.post(0, [&] {
        cancelled.cancel();
        values.close();
      });
    });
    while (seen.size() < 2) co_await yield();
    other.join();
  });
  CHECK(seen == std::vector{std::this_thread::get_id(), std::this_thread::get_id()});
}

TEST_CASE("RUN-07: a daemon that comes while the daemons of a run end is ended with them") {
  world w;
  trace seen;
  struct poster {
    runtime& rt;
    trace& seen;
    ~poster() {
      rt.post(0, [&s = seen] { spawn(sleep_until_ended(s, "late"), {.daemon = true}); });
    }
  };
  const auto last = [](runtime& rt, trace& words) -> task<> {
    const poster at_end{rt, words};
    co_await sleep(duration::max());
  };
  const auto slow_to_end = [](trace& words) -> task<> {
    co_await shield(sleeper(5s));
    words.push_back("slow");
  };
  w.run([&]() -> task<> {
    spawn(last(w.rt, seen), {.below = &scheduler::here()->roots, .daemon = true});
    spawn(slow_to_end(seen), {.below = &scheduler::here()->roots, .daemon = true});
    co_await sleep(1s);
  });
  CHECK(w.stalls.empty());
  w.run([&]() -> task<> {
    spawn(sleep_until_ended(seen, "next run"), {.daemon = true});
    co_await sleep(1s);
    seen.push_back("worked");
  });
  CHECK(seen == trace{"slow", "worked", "next run"});
}
