// Sequences of C++ tasks: what each stage yields and when, and that nothing is lost to who gives up.
#include <perilune/sequence.hpp>

#include <memory>
#include <string>

#include <perilune/scope.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

using numbers = std::vector<int>;

sequence<int> counting(int last) { return make_sequence(std::views::iota(1, last + 1)); }

// 1, 2, ... each so long after the other.
sequence<int> every(duration pause, int last) {
  return counting(last).map([pause](int n) -> task<int> {
    co_await sleep(pause);
    co_return n;
  });
}

task<> feed(channel<int> into, std::vector<std::pair<instant, int>> plan) {
  for (const auto& [at, value] : plan) {
    co_await sleep_until(at);
    co_await into.send(value);
  }
  into.close();
}

// The values of a channel to which each is sent at its instant.
sequence<int> planned(std::vector<std::pair<instant, int>> plan) {
  const channel<int> values(100);
  spawn(feed(values, std::move(plan)), {.daemon = true});
  return make_sequence(values);
}

// What a sequence yields, each with the instant in seconds at which it was there.
task<std::vector<std::pair<int, int>>> timed(sequence<int> from) {
  std::vector<std::pair<int, int>> all;
  for (;;) {
    const std::optional<int> each = co_await from.next();
    if (!each) co_return all;
    all.emplace_back(static_cast<int>(now() / 1s), *each);
  }
}

}  // namespace

TEST_CASE("sequence: map, filter, take and collect") {
  world w;
  w.run([]() -> task<> {
    const auto odd_squares = co_await counting(100)
                                 .filter([](int n) { return n % 2 == 1; })
                                 .map([](int n) { return n * n; })
                                 .take(3)
                                 .collect();
    CHECK(odd_squares == numbers{1, 9, 25});
    const auto texts =
        co_await counting(2).map([](int n) -> task<std::string> { co_return std::to_string(n); }).collect();
    CHECK(texts == trace{"1", "2"});
    const auto none = co_await counting(5).take(0).collect();
    CHECK(none.empty());
  });
}

TEST_CASE("STR-01: the end stays the end, and a failure is the end as well") {
  world w;
  w.run([]() -> task<> {
    auto one = counting(1);
    co_await one.next();
    for (int i = 0; i < 3; ++i) {
      const auto after = co_await one.next();
      CHECK_FALSE(after.has_value());
    }
    auto failing = counting(3).map([](int n) {
      if (n == 2) throw std::runtime_error("two");
      return n;
    });
    co_await failing.next();
    std::string thrown;
    try {
      co_await failing.next();
    } catch (const std::runtime_error& e) {
      thrown = e.what();
    }
    CHECK(thrown == "two");
    const auto after = co_await failing.next();
    CHECK_FALSE(after.has_value());
  });
}

TEST_CASE("STR-01: what fails while it is read ahead is thrown to who asks next") {
  world w;
  w.run([]() -> task<> {
    auto failing = every(5s, 3).map([](int) -> int { throw std::runtime_error("late"); });
    const auto first = co_await select(failing.next_op(), sleep_op(1s));
    CHECK(first.index() == 1);
    std::string thrown;
    try {
      co_await failing.next();
    } catch (const std::runtime_error& e) {
      thrown = e.what();
    }
    CHECK(thrown == "late");
    CHECK(now() == 5s);
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SEL-07: a sequence that loses a select, again and again, loses no element") {
  world w;
  w.run([]() -> task<> {
    auto from = every(5s, 3);
    numbers got;
    int lost = 0;
    for (bool over = false; !over;) {
      auto first = co_await select(from.next_op(), sleep_op(2s));
      if (first.index() == 1) {
        ++lost;
      } else if (const auto value = std::get<0>(first)) {
        got.push_back(*value);
      } else {
        over = true;
      }
    }
    CHECK(got == numbers{1, 2, 3});
    CHECK(lost > 3);
    CHECK(now() == 15s);
  });
}

TEST_CASE("SEL-07: nor do those below it, whether they are merged or work on elements") {
  world w;
  w.run([]() -> task<> {
    auto merged =
        merge(every(3s, 3), every(5s, 2).map([](int n) { return n * 10; })).buffered(2, [](int n) -> task<int> {
          co_await sleep(4s);
          co_return n;
        });
    numbers got;
    for (bool over = false; !over;) {
      auto first = co_await select(merged.next_op(), sleep_op(1s));
      if (first.index() == 1) continue;
      const auto value = std::get<0>(first);
      over = !value;
      if (value) got.push_back(*value);
    }
    CHECK(got == numbers{1, 10, 2, 20, 3});
  });
}

TEST_CASE("CAN-32: what a limit cuts is asked for again: nothing is lost, in any stage") {
  world w;
  w.run([]() -> task<> {
    std::vector<std::pair<instant, int>> plan;
    for (int n = 1; n <= 12; ++n) plan.emplace_back(n * 700ms, n);
    auto chunked = planned(plan).filter([](int) { return true; }).throttle(100ms).chunks(4);
    numbers got;
    for (bool over = false; !over;) {
      const auto step = [](sequence<numbers>& from) -> task<std::optional<numbers>> { return from.next(); };
      const auto chunk = co_await try_timeout(1s, step(chunked));
      if (!chunk) continue;
      over = !*chunk;
      if (*chunk) got.insert(got.end(), (*chunk)->begin(), (*chunk)->end());
    }
    const numbers all{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    CHECK(got == all);
  });
}

TEST_CASE("CAN-32: another task reads on when the one that read ahead has been cancelled") {
  world w;
  w.run([]() -> task<> {
    auto from = every(5s, 2);
    auto first = spawn([](sequence<int>& s) -> task<> { co_await select(s.next_op(), sleep_op(1h)); }(from));
    co_await sleep(1s);
    auto second = spawn([](sequence<int>& s) -> task<int> {
      const auto value = co_await s.next();
      co_return value.value_or(0);
    }(from));
    co_await sleep(1s);
    first.cancel();
    const auto& end = co_await second.join();
    CHECK(end.value() != 0);
  });
}

TEST_CASE("sequence: dropped while it is read ahead, it ends what was at work") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    {
      auto from = counting(3).map([&seen](int n) -> task<int> {
        const closer guard(seen, "closed " + std::to_string(n));
        co_await sleep(1h);
        co_return n;
      });
      const auto first = co_await select(from.next_op(), sleep_op(1s));
      CHECK(first.index() == 1);
    }
    co_await sleep(1s);
    CHECK(seen == trace{"closed 1"});
  });
}

TEST_CASE("STR-02: merge: each as soon as it is there, and no busy one starves a quiet one") {
  world w;
  w.run([]() -> task<> {
    const auto both = co_await timed(merge(every(2s, 3), every(3s, 2).map([](int n) { return n * 10; })));
    const std::vector<std::pair<int, int>> expected{{2, 1}, {3, 10}, {4, 2}, {6, 20}, {6, 3}};
    CHECK((both == expected || both[3] == std::pair{6, 3}));
    CHECK(both.size() == 5);
    auto busy = merge(counting(1000000), counting(3).map([](int n) { return -n; }));
    int quiet = 0;
    for (int i = 0; i < 12; ++i) {
      const auto each = co_await busy.next();
      quiet += *each < 0 ? 1 : 0;
    }
    CHECK(quiet == 3);
  });
}

TEST_CASE("STR-03: chunks: full ones, the rest at the end, and what there is at the limit") {
  world w;
  w.run([]() -> task<> {
    const auto plain = co_await counting(5).chunks(2).collect();
    const std::vector<numbers> expected{{1, 2}, {3, 4}, {5}};
    CHECK(plain == expected);
    std::vector<std::pair<instant, int>> plan{{1s, 1}, {2s, 2}, {9s, 3}, {10s, 4}, {11s, 5}, {30s, 6}};
    const auto limited = co_await planned(plan).chunks(3, 5s).collect();
    const std::vector<numbers> in_time{{1, 2}, {3, 4, 5}, {6}};
    CHECK(limited == in_time);
  });
}

TEST_CASE("sequence: throttle keeps a distance, debounce waits until it is quiet") {
  world w;
  w.run([]() -> task<> {
    const auto spaced = co_await timed(counting(3).throttle(2s));
    const std::vector<std::pair<int, int>> apart{{0, 1}, {2, 2}, {4, 3}};
    CHECK(spaced == apart);
    std::vector<std::pair<instant, int>> plan{{10s, 1}, {11s, 2}, {20s, 3}, {21s, 4}, {22s, 5}};
    const auto quiet = co_await timed(planned(plan).debounce(3s));
    const std::vector<std::pair<int, int>> settled{{14, 2}, {22, 5}};
    CHECK(quiet == settled);
  });
}

TEST_CASE("sequence: buffered works on so many at once, in order or as they are there") {
  world w;
  w.run([]() -> task<> {
    int running = 0, peak = 0;
    const auto work = [&](int n) -> task<int> {
      peak = std::max(peak, ++running);
      co_await sleep(std::chrono::seconds(n == 1 ? 4 : 1));
      --running;
      co_return n;
    };
    const auto ordered = co_await counting(4).buffered(2, work).collect();
    CHECK(ordered == numbers{1, 2, 3, 4});
    CHECK(peak == 2);
    CHECK(now() == 5s);
    const auto as_they_come = co_await counting(4).buffered(2, work, {.ordered = false}).collect();
    CHECK(as_they_come == numbers{2, 3, 4, 1});
    CHECK(now() == 9s);
  });
}

TEST_CASE("sequence: take_until ends with an operation, and drops nothing that it has yielded") {
  world w;
  w.run([]() -> task<> {
    const instant stop = 7s;
    const auto until = co_await timed(every(2s, 100).take_until([stop] { return until_op(stop); }));
    const std::vector<std::pair<int, int>> expected{{2, 1}, {4, 2}, {6, 3}};
    CHECK(until == expected);
    CHECK(now() == 7s);
  });
}

TEST_CASE("sequence: from an interval; move-only elements pass through") {
  world w;
  w.run([]() -> task<> {
    const auto ticks = co_await make_sequence(interval(2s)).take(3).collect();
    CHECK(ticks == std::vector<instant>{0s, 2s, 4s});
    const channel<std::unique_ptr<int>> boxes(2);
    co_await boxes.send(std::make_unique<int>(1));
    boxes.close();
    auto from = make_sequence(boxes).filter([](const std::unique_ptr<int>& box) { return *box == 1; });
    const auto first = co_await select(from.next_op(), sleep_op(1s));
    CHECK(*std::get<0>(first).value() == 1);
  });
}

TEST_CASE("sequence: misuse names what is wrong") {
  world w;
  w.run([]() -> task<> {
    auto from = counting(3);
    auto owner = std::move(from).take(1);
    CHECK_THROWS_WITH(from.next(), "the sequence is part of another one, or was moved away");
    CHECK_THROWS_WITH(std::move(owner).chunks(0), "chunks: the size must be at least 1, got 0");
    co_return;
  });
}
