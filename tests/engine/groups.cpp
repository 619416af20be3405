// Groups of C++ tasks: all, settle, race, map; and with_any, which race is made of.
#include <perilune/groups.hpp>

#include <memory>
#include <string>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

template <class T>
task<T> value_after(duration span, T value) {
  co_await sleep(span);
  co_return std::move(value);
}

// Sleeps for long; when it is ended, its child takes a second to end, and says so.
task<> slow_to_end(trace& seen, std::string text) {
  spawn([](trace& s, std::string word) -> task<> {
    co_await shield([](trace& in, std::string said) -> task<> {
      co_await sleep(2s);
      in.push_back(said);
    }(s, word));
  }(seen, text));
  co_await sleep(1h);
}

task<> cancels_itself() {
  co_await yield();
  cancel(*scheduler::here()->current(), reason_ptr::make(cancel_source::cancel, "gone"));
  co_await sleep(1h);
}

// The failures of the group that `body` throws; what else it throws passes through.
template <class T>
task<trace> failures_of(task<T> body) {
  trace all;
  try {
    co_await body;
  } catch (const group_error& group) {
    for (const auto& failure : group.failures()) all.push_back(text_of(failure));
  }
  co_return all;
}

// What `body` throws.
template <class T>
task<error> error_of(task<T> body) {
  error thrown;
  try {
    co_await body;
  } catch (...) {
    thrown = describe_exception(std::current_exception());
  }
  co_return thrown;
}

template <class T>
std::vector<task<T>> list(task<T> first, task<T> second) {
  std::vector<task<T>> bodies;
  bodies.push_back(std::move(first));
  bodies.push_back(std::move(second));
  return bodies;
}

}  // namespace

TEST_CASE("all: every value, of any type, in the order of the coroutines") {
  world w;
  w.run([]() -> task<> {
    auto values = co_await all(value_after(2s, 1), value_after(1s, std::string("two")), sleeper(3s));
    CHECK(now() == 3s);
    CHECK(std::get<0>(values) == 1);
    CHECK(std::get<1>(values) == "two");
    const auto same = co_await all(list(value_after(2s, 1), value_after(1s, 2)));
    CHECK(same == std::vector<int>{1, 2});
    auto moved = co_await all(value_after(1s, std::make_unique<int>(7)));
    CHECK(*std::get<0>(moved) == 7);
  });
}

TEST_CASE("JMC-02: all fails at the first failure; the others are cancelled and have ended") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto failures = co_await failures_of(all(slow_to_end(seen, "cleaned"), fail_after(1s, "broken")));
    CHECK(failures == trace{"std::runtime_error: broken"});
    CHECK(now() == 2s);
    CHECK(seen == trace{"cleaned"});
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("JMC-04: nothing to run returns at once") {
  world w;
  w.run([]() -> task<> {
    co_await all();
    co_await settle();
    const auto none = co_await all(std::vector<task<int>>());
    CHECK(none.empty());
    const auto mapped = co_await map(std::vector<int>(), [](int) -> task<int> { co_return 1; });
    CHECK(mapped.empty());
    CHECK(now() == 0s);
  });
}

TEST_CASE("JMC-01: settle runs all to their ends and has every outcome") {
  world w;
  w.run([]() -> task<> {
    const auto ends = co_await settle(fail_after(1s, "broken"), value_after(2s, std::string("fine")), cancels_itself());
    CHECK(now() == 2s);
    REQUIRE(std::get<0>(ends).failed());
    CHECK(text_of(std::get<0>(ends).exception()) == "std::runtime_error: broken");
    REQUIRE(std::get<1>(ends).returned());
    CHECK(std::get<1>(ends).value() == "fine");
    CHECK(std::get<2>(ends).cancelled());
    const auto same = co_await settle(list(value_after(1s, 1), value_after(2s, 2)));
    CHECK(same[1].value() == 2);
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("JMC-05: one that is always ready does not starve the others") {
  world w;
  w.run([]() -> task<> {
    bool stop = false;
    const auto spin = [](bool& ended) -> task<> {
      while (!ended) co_await yield();
    };
    const auto count = [](bool& ended) -> task<> {
      for (int i = 0; i < 100; ++i) co_await yield();
      ended = true;
    };
    co_await all(spin(stop), count(stop));
    CHECK(stop);
  });
}

TEST_CASE("SEL-17: race: the losers have ended when it returns") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto won = co_await race(slow_to_end(seen, "loser"), value_after(1s, 7), fail_after(500ms, "early"));
    REQUIRE(won.index() == 1);
    CHECK(std::get<1>(won) == 7);
    CHECK(seen == trace{"loser"});
    CHECK(now() == 2s);
    auto same =
        co_await race(list(value_after(2s, std::make_unique<int>(1)), value_after(1s, std::make_unique<int>(2))));
    CHECK(same.index == 1);
    CHECK(*same.value == 2);
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-17: race: all fail: a group of all, in their order; none: misuse") {
  world w;
  w.run([]() -> task<> {
    const auto failures = co_await failures_of(race(fail_after(2s, "b"), fail_after(1s, "a")));
    CHECK(failures == trace{"std::runtime_error: a", "std::runtime_error: b"});
    const auto none = co_await error_of(race(std::vector<task<int>>()));
    CHECK(none.kind == error_kind::misuse);
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-16: under any the first success wins; the others are cancelled and have ended") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    task_handle<int> early, loser;
    const auto won = co_await with_any<int>([&](any_scope<int>& s) -> task<> {
      const closer guard(seen, "body");
      early = s.spawn([]() -> task<int> {
        co_await fail_after(1s, "too early");
        co_return 0;
      }());
      s.spawn(value_after(2s, 5));
      s.spawn(value_after(2s, 6));
      loser = s.spawn([](trace& in) -> task<int> {
        co_await slow_to_end(in, "loser");
        co_return 0;
      }(seen));
      co_await sleep(1h);
    });
    CHECK(won == 5);
    CHECK(early.outcome_now().failed());
    CHECK(loser.outcome_now().cancelled());
    CHECK(seen == trace{"loser", "body"});
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-16: with_scope under any ends with the first success, and yields what its body returned") {
  world w;
  w.run([]() -> task<> {
    const auto body = co_await with_scope(scope_policy::any, [](scope& s) -> task<std::string> {
      s.spawn(sleeper(1h));
      s.spawn(sleeper(1s));
      co_return "body";
    });
    CHECK(body == "body");
    CHECK(now() == 1s);
  });
}

TEST_CASE("SCO-17: under any a member that cancelled itself has failed; no member at all is misuse") {
  world w;
  w.run([]() -> task<> {
    const auto gone = co_await failures_of(race(cancels_itself()));
    CHECK(gone == trace{"cancelled: gone"});
    const auto none = co_await error_of(with_any<int>([](any_scope<int>&) -> task<> { co_return; }));
    CHECK(none.kind == error_kind::misuse);
    const auto cut = co_await with_any<int>([](any_scope<int>& s) -> task<> {
      s.cancel("enough");
      co_await sleep(1h);
    });
    CHECK_FALSE(cut.has_value());
  });
}

TEST_CASE("SCO-12: under any the body's failure cancels the members and is part of the group") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto failures = co_await failures_of(with_any<unit>([&](any_scope<unit>& s) -> task<> {
      s.spawn([](trace& in) -> task<unit> {
        co_await sleep_until_ended(in, "member");
        co_return unit();
      }(seen));
      co_await sleep(1s);
      throw std::runtime_error("body");
    }));
    CHECK(failures == trace{"std::runtime_error: body"});
  });
  CHECK(seen == trace{"member"});
}

TEST_CASE("SCO-07: a group whose task is cancelled is cancelled, not failed") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto in_all = spawn([](trace& s) -> task<> { co_await all(slow_to_end(s, "all"), sleeper(1h)); }(seen));
    auto in_settle = spawn([](trace& s) -> task<> { co_await settle(slow_to_end(s, "settle"), sleeper(1h)); }(seen));
    auto in_race = spawn([](trace& s) -> task<> { co_await race(slow_to_end(s, "race"), sleeper(1h)); }(seen));
    co_await sleep(1s);
    for (const auto& each : {in_all, in_settle, in_race}) each.cancel();
    for (const auto& each : {in_all, in_settle, in_race}) {
      const auto& end = co_await each.join();
      CHECK(end.cancelled());
    }
  });
  CHECK(seen == trace{"all", "settle", "race"});
  CHECK(w.unobserved.empty());
}

TEST_CASE("a coroutine of a group that cancels itself gives no value: all and map fail") {
  world w;
  w.run([]() -> task<> {
    const auto from_all = co_await failures_of(all(cancels_itself(), sleeper(1s)));
    CHECK(from_all == trace{"cancelled: gone"});
    const auto from_map = co_await failures_of(map(std::vector<int>(1), [](int) { return cancels_itself(); }));
    CHECK(from_map == trace{"cancelled: gone"});
  });
}

TEST_CASE("SCO-05: a group is an error of kind group that says how many failed, and the first") {
  world w;
  w.run([]() -> task<> {
    const auto one = co_await error_of(all(fail("a"), sleeper(1s)));
    CHECK(one.kind == error_kind::group);
    CHECK(one.message == "one task of the scope failed: std::runtime_error: a");
    const auto two = co_await error_of(race(fail("a"), fail("b")));
    CHECK(two.message == "2 tasks of the scope failed; the first: std::runtime_error: a");
  });
}

TEST_CASE("map: at most so many at a time, values in the order of the items") {
  world w;
  w.run([]() -> task<> {
    int running = 0, peak = 0;
    const auto work = [&](int span) -> task<int> {
      peak = std::max(peak, ++running);
      co_await sleep(std::chrono::seconds(span));
      --running;
      co_return span * 10;
    };
    const std::vector<int> seconds{3, 1, 2, 1, 1};
    const auto values = co_await map(seconds, work, {.concurrency = 2});
    CHECK(values == std::vector<int>{30, 10, 20, 10, 10});
    CHECK(peak == 2);
    CHECK(now() == 4s);
    co_await map(std::views::iota(0, 1000), [](int) { return sleeper(1s); });
    CHECK(now() == 5s);
  });
}

TEST_CASE("map: the first failure cancels the rest, and no further item begins") {
  world w;
  w.run([]() -> task<> {
    int begun = 0;
    const auto work = [&](int after) {
      ++begun;
      return fail_after(std::chrono::seconds(after), "at " + std::to_string(after));
    };
    const std::vector<int> seconds{5, 1, 1, 1};
    const auto failures = co_await failures_of(map(seconds, work, {.concurrency = 2}));
    CHECK(failures == trace{"std::runtime_error: at 1"});
    CHECK(begun == 2);
    CHECK(now() == 1s);
    const auto none = co_await error_of(map(seconds, work, {.concurrency = 0}));
    CHECK(none.kind == error_kind::misuse);
  });
}

TEST_CASE("JMC-02: groups inside groups fail from the inside out") {
  world w;
  w.run([]() -> task<> {
    const auto failures = co_await failures_of(all(all(fail("deep"), sleeper(1h)), sleeper(1h)));
    CHECK(failures == trace{"one task of the scope failed: std::runtime_error: deep"});
    CHECK(now() == 0s);
  });
}
