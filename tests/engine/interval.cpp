// interval: ticks on a grid, what becomes of missed ones, and what reset and close do to the waits under way.
#include <optional>
#include <vector>

#include <perilune/interval.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

using instants = std::vector<std::optional<instant>>;

// When so many ticks came.
task<instants> ticks(interval every, int count) {
  instants came;
  for (int i = 0; i < count; ++i) {
    const auto stood = co_await every.tick();
    came.push_back(stood ? std::optional(now()) : std::nullopt);
  }
  co_return came;
}

instants at(std::initializer_list<duration> times) { return {times.begin(), times.end()}; }

// One tick, a stall of 200 ms, then six more.
instants ticks_around_a_stall(missed_ticks mode) {
  world w;
  return w.run([&]() -> task<instants> {
    const interval every(50ms, mode);
    co_await every.tick();
    co_await sleep(230ms);
    co_return co_await ticks(every, 6);
  });
}

task<> tick_once(interval every, trace& seen, std::string name) {
  const auto stood = co_await every.tick();
  seen.push_back(name + (stood ? "@" + std::to_string(*stood / 1s) : " ended"));
}

std::string refusal(duration period) {
  try {
    const interval every(period);
  } catch (const task_error& e) {
    return e.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("TIM-07: reset moves the tick that a task waits for, earlier and later; it comes once") {
  world w;
  w.run([]() -> task<> {
    const interval every(10s);
    co_await every.tick();
    auto waiting = spawn(ticks(every, 2));
    co_await sleep(6s);
    every.reset();
    auto end = co_await waiting.join();
    CHECK(end.value() == at({16s, 26s}));
  });
}

TEST_CASE("TIM-07: a reset between a tick and the resume of its task leaves the next where it put it") {
  world w;
  w.run([]() -> task<> {
    const interval every(10s);
    co_await every.tick();
    // The sleeper's timer is the earlier one of two at the same instant, so its task resets before the other resumes.
    auto resetting = spawn([](interval of) -> task<> {
      co_await sleep(10s);
      of.reset();
    }(every));
    auto waiting = spawn(ticks(every, 3));
    auto end = co_await waiting.join();
    CHECK(end.value() == at({10s, 20s, 30s}));
    co_await resetting.join();
  });
}

TEST_CASE("TIM-07: close ends the waits under way and all later ones, in a select too") {
  world w;
  w.run([]() -> task<> {
    const interval every(10s);
    co_await every.tick();
    auto waiting = spawn(ticks(every, 2));
    auto selecting = spawn([](interval of) -> task<std::size_t> {
      const auto first = co_await select(sleep_op(100s), of.tick_op());
      co_return first.index();
    }(every));
    co_await sleep(4s);
    every.close();
    every.close();
    auto end = co_await waiting.join();
    auto chosen = co_await selecting.join();
    CHECK(end.value() == instants{std::nullopt, std::nullopt});
    CHECK(chosen.value() == 1);
    CHECK(every.closed());
    CHECK(now() == 4s);
  });
}

TEST_CASE("TIM-08: the first tick is immediate, the next stand on the grid, and each is one waiter's") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const interval every(1s);
    const auto came = co_await ticks(every, 3);
    CHECK(came == at({0s, 1s, 2s}));
    auto a = spawn(tick_once(every, seen, "a"));
    auto lost = spawn(tick_once(every, seen, "lost"));
    auto b = spawn(tick_once(every, seen, "b"));
    co_await yield();
    lost.cancel();
    co_await a.join();
    co_await b.join();
  });
  CHECK(seen == trace{"a@3", "b@4"});
}

TEST_CASE("TIM-09: a period is more than 0, and an interval is made in a task") {
  CHECK(refusal(1s) == "an interval is made in a task");
  world w;
  w.run([]() -> task<> {
    CHECK(refusal(0s) == "the period of an interval must be more than 0");
    CHECK(refusal(-1s) == "the period of an interval must be more than 0");
    CHECK(refusal(duration::max()) == "none");
    co_return;
  });
}

TEST_CASE("TIM-10: burst makes up for every missed tick and is back on the grid") {
  CHECK(ticks_around_a_stall(missed_ticks::burst) == at({230ms, 230ms, 230ms, 230ms, 250ms, 300ms}));
}

TEST_CASE("TIM-11: delay gives one tick, and the next a period after that") {
  CHECK(ticks_around_a_stall(missed_ticks::delay) == at({230ms, 280ms, 330ms, 380ms, 430ms, 480ms}));
}

TEST_CASE("TIM-12: skip gives one tick, and the next stands on the grid") {
  CHECK(ticks_around_a_stall(missed_ticks::skip) == at({230ms, 250ms, 300ms, 350ms, 400ms, 450ms}));
}

TEST_CASE("TIM-13: a tick that is no more than 5 ms late was not missed") {
  for (const auto& [late, next] : {std::pair{3ms, 100ms}, std::pair{6ms, 106ms}}) {
    world w;
    const duration stall = 50ms + late, second = next;
    const auto came = w.run([&]() -> task<instants> {
      const interval every(50ms, missed_ticks::delay);
      co_await every.tick();
      co_await sleep(stall);
      co_return co_await ticks(every, 2);
    });
    CHECK(came == at({stall, second}));
  }
}

TEST_CASE("CAN-32: a tick whose task is cancelled before it resumes goes to the next in line") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const interval every(5s);
    co_await every.tick();
    task_handle<void> first;
    auto killer = spawn([](task_handle<void>& victim) -> task<> {
      co_await sleep(5s);
      victim.cancel();
    }(first));
    co_await yield();
    first = spawn(tick_once(every, seen, "first"));
    auto second = spawn(tick_once(every, seen, "second"));
    co_await second.join();
    co_await killer.join();
  });
  CHECK(seen == trace{"second@5"});
}

TEST_CASE("RUN-12: an interval of another worker is refused") {
  world a, b;
  std::optional<interval> kept;
  a.run([&]() -> task<> {
    kept.emplace(1s);
    co_await kept->tick();
  });
  const auto end = b.end_of([&]() -> task<> { co_await kept->tick(); });
  REQUIRE(end.failed());
  CHECK(text_of(end.exception()) == "this interval belongs to another worker; use one interval per worker");
}
