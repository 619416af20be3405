// watch<T>: the newest value, and who wants to know when it changes.
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

#include <perilune/select.hpp>
#include <perilune/watch.hpp>

#include "world.hpp"

using namespace perilune;
using perilune::test::world;
using namespace std::chrono_literals;

namespace {

task<bool> change(watch_receiver<int> at) { co_return co_await at.changed(); }

// Whether a change can be had without waiting; taking it marks it.
task<bool> change_now(watch_receiver<int> at) {
  const auto got = co_await select_biased(at.changed_op(), sleep_op(0s));
  co_return got.index() == 0;
}

}  // namespace

TEST_CASE("WAT-01: the value at subscribe counts as seen") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(1);
    auto waiting = spawn(change(value.subscribe()));
    co_await yield();
    CHECK(waiting.state() == task_state::waiting);
    value.set(2);
    const auto& told = co_await waiting.join();
    CHECK(told.value());
  });
}

TEST_CASE("WAT-02: five sets before the reader runs are one change") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(0);
    const auto reader = value.subscribe();
    for (int i = 1; i <= 5; ++i) value.set(i);
    const bool first = co_await reader.changed();
    CHECK(first);
    CHECK(reader.get() == 5);
    const bool second = co_await change_now(reader);
    CHECK_FALSE(second);
  });
}

TEST_CASE("WAT-04: get marks nothing, get_and_mark does") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(0);
    const auto reader = value.subscribe();
    value.set(1);
    CHECK(reader.get() == 1);
    const bool unseen = co_await change_now(reader);
    CHECK(unseen);
    value.set(2);
    CHECK(reader.get_and_mark() == 2);
    const bool seen = co_await change_now(reader);
    CHECK_FALSE(seen);
  });
}

TEST_CASE("WAT-05: set without receivers stores") {
  const watch<int> value(0);
  CHECK(value.set(1));
  CHECK(value.get() == 1);
  value.close();
  CHECK_FALSE(value.set(2));
  CHECK(value.get() == 1);
}

TEST_CASE("WAT-06, WAT-07: an update that declines or throws changes nothing") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(1);
    const auto reader = value.subscribe();
    CHECK_FALSE(value.update([](int) { return std::optional<int>(); }));
    CHECK_THROWS_AS(value.update([](int) -> int { throw std::runtime_error("no"); }), std::runtime_error);
    CHECK(value.stats().version == 0);
    const bool woken = co_await change_now(reader);
    CHECK_FALSE(woken);
    CHECK(value.update([](int v) { return v + 1; }));
    CHECK(reader.get() == 2);
  });
}

TEST_CASE("WAT-08: wait_for returns at once when it holds, and ends with the watch") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(7);
    const auto reader = value.subscribe();
    const auto at_once = co_await reader.wait_for([](int v) { return v == 7; });
    CHECK(at_once == 7);
    auto later = spawn(value.subscribe().wait_for([](int v) { return v > 8; }));
    auto never = spawn(value.subscribe().wait_for([](int v) { return v > 99; }));
    for (int i = 8; i < 11; ++i) {
      co_await yield();
      value.set(i);
    }
    value.close();
    const auto& reached = co_await later.join();
    CHECK(reached.value() == 9);
    const auto& ended = co_await never.join();
    CHECK(ended.value() == std::nullopt);
  });
}

TEST_CASE("WAT-10, CAN-32: a change that was not accepted is not seen") {
  world w;
  w.run([]() -> task<> {
    const watch<int> value(0);
    const auto reader = value.subscribe();
    const auto lost = co_await select(reader.changed_op(), sleep_op(1s));
    CHECK(lost.index() == 1);
    auto waiting = spawn(change(reader));
    co_await yield();
    value.set(1);
    waiting.cancel();
    const auto& end = co_await waiting.join();
    CHECK(end.cancelled());
    const bool unseen = co_await change_now(reader);
    CHECK(unseen);
  });
}

TEST_CASE("WAT-02: random sets, waits and cancels agree with a model of a watch") {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    world w;
    w.run([seed]() -> task<> {
      std::mt19937 random(seed);
      const watch<int> value(0);
      const auto reader = value.subscribe();
      int version = 0, seen = 0;
      for (int round = 0; round < 30; ++round) {
        std::vector<task_handle<bool>> waiting;
        if (seen == version)
          for (auto i = random() % 4; i; --i) waiting.push_back(spawn(change(reader)));
        co_await yield();
        CHECK(value.stats().waiting_receivers == waiting.size());
        const bool sets = random() % 2 == 0;
        if (sets) value.set(++version);
        std::size_t alive = 0;
        for (auto& one : waiting)
          if (!sets || random() % 2 == 0)
            one.cancel();
          else
            ++alive;
        for (auto& one : waiting) co_await one.join();
        if (alive) seen = version;
        if (random() % 2 == 0) {
          const bool changed = co_await change_now(reader);
          CHECK(changed == (seen != version));
          seen = version;
        }
      }
    });
  }
}
