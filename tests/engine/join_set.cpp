// Join sets of C++ tasks: the order of ends, what cancels whom, and what a set leaves behind.
#include <perilune/join_set.hpp>

#include <optional>
#include <string>

#include <perilune/select.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<int> after(duration span, int value) {
  co_await sleep(span);
  co_return value;
}

task<int> until_ended(trace& seen, std::string text) {
  co_await sleep_until_ended(seen, std::move(text));
  co_return 0;
}

}  // namespace

TEST_CASE("SCO-21: members come in the order of their ends, then nothing") {
  world w;
  w.run([]() -> task<> {
    join_set<int> set;
    for (const int i : {2, 3, 1}) set.spawn(after(std::chrono::seconds(i), i));
    CHECK(set.size() == 3);
    for (const int i : {1, 2, 3}) {
      const auto member = co_await set.join_next();
      REQUIRE(member.has_value());
      CHECK(member->outcome_now().value() == i);
    }
    const auto none = co_await set.join_next();
    CHECK_FALSE(none.has_value());
  });
}

TEST_CASE("SCO-20: close cancels the members and waits for them") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    join_set<int> set;
    set.spawn(until_ended(seen, "a"));
    set.spawn(until_ended(seen, "b"));
    co_await yield();
    co_await set.close();
    CHECK(seen == trace{"a", "b"});
    CHECK(set.size() == 0);
    CHECK_THROWS_AS(set.spawn(after(1s, 1)), task_error);
  });
}

TEST_CASE("SCO-20: a set that goes out of its block cancels its members; the task waits for them") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto owner = spawn([](trace& s) -> task<> {
      join_set<int> set;
      set.spawn(until_ended(s, "member"));
      co_await yield();
    }(seen));
    co_await owner.join();
    CHECK(seen == trace{"member"});
  });
}

TEST_CASE("SCO-22: a join_next that loses a select takes nothing") {
  world w;
  w.run([]() -> task<> {
    join_set<int> set;
    set.spawn(after(2s, 7));
    const auto lost = co_await select(set.join_next_op(), sleep_op(1s));
    CHECK(lost.index() == 1);
    CHECK(set.size() == 1);
    const auto all = co_await set.join_all();
    REQUIRE(all.size() == 1);
    CHECK(all[0].value() == 7);
  });
}

TEST_CASE("SCO-25: join_all has every outcome") {
  world w;
  w.run([]() -> task<> {
    join_set<void> set;
    set.spawn(fail_after(1s, "broken"));
    set.spawn(sleeper(2s));
    const auto all = co_await set.join_all();
    REQUIRE(all.size() == 2);
    CHECK(all[0].failed());
    CHECK(all[1].returned());
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-15: another task cannot join the set") {
  world w;
  w.run([]() -> task<> {
    join_set<void> set;
    set.spawn(sleeper(1s));
    auto other = spawn([](join_set<void>& of) -> task<> { co_await of.join_next(); }(set));
    const auto& end = co_await other.join();
    CHECK(end.failed());
  });
}

TEST_CASE("a failure that nobody took is reported when the set goes") {
  world w;
  w.run([]() -> task<> {
    join_set<void> set;
    set.spawn(fail("unread"));
    co_await sleep(1s);
  });
  CHECK(w.unobserved == trace{"std::runtime_error: unread"});
}

TEST_CASE("cancelled, the owner of a set ends after its members") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto owner = spawn([](trace& s) -> task<> {
      const closer guard(s, "owner");
      join_set<int> set;
      set.spawn(until_ended(s, "member"));
      co_await set.join_next();
    }(seen));
    co_await sleep(1s);
    owner.cancel();
    co_await owner.join();
    CHECK(seen == trace{"member", "owner"});
  });
}

TEST_CASE("a member that is detached leaves the set and ends the wait for the last one") {
  world w;
  w.run([]() -> task<> {
    join_set<int> set;
    auto member = set.spawn(after(5s, 5));
    auto releaser = spawn([](task_handle<int> which) -> task<> {
      co_await sleep(1s);
      which.detach();
    }(member));
    const auto none = co_await set.join_next();
    CHECK_FALSE(none.has_value());
    CHECK(now() == 1s);
    co_await member.join();
    CHECK(member.outcome_now().value() == 5);
  });
}
