// Spawning and joining C++ tasks, their outcomes, and calls between coroutines.
#include <perilune/task.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }

task<int> thrower() {
  throw 42;
  co_return 0;
}

task<int> twice(int value) {
  co_await yield();
  co_return 2 * value;
}

task<std::uint64_t> own_id() { co_return scheduler::here()->current()->id; }

struct custom_failure : std::runtime_error {
  using runtime_error::runtime_error;
  const custom_failure* self = this;
};

task<> throw_custom() {
  throw custom_failure("custom");
  co_return;
}

}  // namespace

TEST_CASE("JOIN-01: all parts of a result arrive") {
  world w;
  w.run([]() -> task<> {
    auto many = spawn(value_of(std::tuple{1, std::string("two"), 3.0}));
    co_await many.join();
    CHECK(many.outcome_now().value() == std::tuple{1, std::string("two"), 3.0});
    auto box = spawn(boxed(7));
    co_await box.join();
    CHECK(*std::move(box).take().value() == 7);
    auto nothing = spawn(sleeper(1s));
    co_await nothing.join();
    CHECK(nothing.outcome_now().returned());
  });
}

TEST_CASE("JOIN-02: a returned error is a value, never a failure") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(value_of(result<int>(error{error_kind::io, "bad", 5, {}})));
    const auto& end = co_await t.join();
    REQUIRE(end.returned());
    CHECK_FALSE(end.value().ok());
    CHECK(end.value().error().message == "bad");
  });
}

TEST_CASE("JOIN-03: the joiner gets the very exception object") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(throw_custom());
    const auto& end = co_await t.join();
    REQUIRE(end.failed());
    const custom_failure* first = nullptr;
    try {
      std::rethrow_exception(end.exception());
    } catch (const custom_failure& e) {
      first = &e;
    }
    try {
      std::rethrow_exception(t.outcome_now().exception());
    } catch (const custom_failure& e) {
      CHECK(&e == first);
    }
  });
}

TEST_CASE("JOIN-04, JOIN-22: anything may be thrown; the error names its type") {
  world w;
  w.run([]() -> task<> {
    auto number = spawn(thrower());
    const auto& end = co_await number.join();
    REQUIRE(end.failed());
    CHECK(end.error().message == "C++ exception of type int");
    auto text = spawn(fail("disk full"));
    co_await text.join();
    CHECK(text.outcome_now().error().message == "std::runtime_error: disk full");
  });
}

TEST_CASE("JOIN-06: a cancelled task is cancelled, not failed") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(sleeper(1h));
    co_await yield();
    t.cancel("enough");
    const auto& end = co_await t.join();
    REQUIRE(end.cancelled());
    CHECK_FALSE(end.failed());
    CHECK(end.error().kind == error_kind::cancelled);
    CHECK(end.error().message == "cancelled: enough");
    CHECK(end.reason()->source == cancel_source::cancel);
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("JOIN-07: joining again gives the same outcome, to any number of joiners") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(twice(21));
    const auto wait = [](task_handle<int> whom) -> task<int> { co_return (co_await whom.join()).value(); };
    auto a = spawn(wait(t));
    auto b = spawn(wait(t));
    co_await t.join();
    CHECK(t.outcome_now().value() == 42);
    co_await t.join();
    CHECK(t.outcome_now().value() == 42);
    co_await a.join();
    CHECK(a.outcome_now().value() == 42);
    co_await b.join();
    CHECK(b.outcome_now().value() == 42);
  });
}

TEST_CASE("JOIN-08: joining a settled task does not wait, and costs a unit of the budget") {
  world w;
  w.run([]() -> task<> {
    auto done = spawn(value_of(1));
    co_await done.join();
    const std::uint64_t resumes = scheduler::here()->resumes();
    bool ran = false;
    auto other = spawn([](bool& flag) -> task<> {
      flag = true;
      co_return;
    }(ran));
    int joins = 0;
    for (; !ran && joins < 1000; ++joins) co_await done.join();
    CHECK(joins > 1);
    CHECK(joins <= scheduler::operation_budget + 1);
    static_cast<void>(resumes);
    co_await other.join();
  });
}

TEST_CASE("JOIN-10: a task that joins itself is told at once") {
  world w;
  w.run([]() -> task<> {
    task_handle<int> self;
    const auto body = [](task_handle<int>& own) -> task<int> { co_return (co_await own.join()).value(); };
    self = spawn(body(self));
    const auto& end = co_await self.join();
    REQUIRE(end.failed());
    CHECK(end.error().kind == error_kind::misuse);
    CHECK(end.error().message == "task " + std::to_string(self.id()) + " cannot join itself");
  });
}

TEST_CASE("JOIN-12: a task whose handle is dropped runs to its end") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    static_cast<void>(spawn(note(seen, "ran")));
    co_return;
  });
  CHECK(seen == trace{"ran"});
}

TEST_CASE("JOIN-13: a failure nobody looked at is reported once") {
  SECTION("at the end, when no handle is left") {
    world w;
    w.run([]() -> task<> {
      spawn(fail("lost"));
      co_return;
    });
    CHECK(w.unobserved == trace{"std::runtime_error: lost"});
  }
  SECTION("when the last handle goes away") {
    world w;
    w.run([&w]() -> task<> {
      {
        auto t = spawn(fail("held"));
        auto copy = t;
        co_await yield();
        CHECK(t.settled());
        t = {};
        CHECK(w.unobserved.empty());
      }
      CHECK(w.unobserved == trace{"std::runtime_error: held"});
    });
    CHECK(w.unobserved.size() == 1);
  }
  SECTION("when the runtime ends before the last handle") {
    task_handle<void> kept;
    trace seen;
    {
      runtime_options options;
      options.on_unobserved = [&](const task_header&, const error& e) { seen.push_back(e.message); };
      runtime rt(options);
      kept = rt.spawn(fail("kept"));
      rt.run_until_idle();
      CHECK(seen.empty());
    }
    CHECK(seen == trace{"std::runtime_error: kept"});
    kept = {};
    CHECK(seen.size() == 1);
  }
}

TEST_CASE("JOIN-14: a failure that was looked at is not reported") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(fail("seen"));
    co_await t.join();
    CHECK(t.outcome_now().failed());
    auto u = spawn(fail("taken"));
    co_await yield();
    CHECK(std::move(u).take().failed());
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("JOIN-16: ids are never equal") {
  world w;
  std::vector<std::uint64_t> ids;
  w.run([&]() -> task<> {
    for (int i = 0; i < 1000; ++i) ids.push_back((co_await spawn(own_id()).join()).value());
  });
  for (std::size_t i = 1; i < ids.size(); ++i) REQUIRE(ids[i] > ids[i - 1]);
}

TEST_CASE("JOIN-17: a destructor of a cancelled task runs as that task") {
  world w;
  w.run([]() -> task<> {
    struct asks {
      std::uint64_t* where;
      ~asks() { *where = scheduler::here()->current()->id; }
    };
    std::uint64_t seen = 0;
    auto t = spawn([](std::uint64_t& id) -> task<> {
      const asks guard{&id};
      co_await sleep(1h);
    }(seen));
    co_await yield();
    t.cancel();
    co_await t.join();
    CHECK(seen == t.id());
  });
}

TEST_CASE("JOIN-18: destructors have run before the outcome is seen") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn(sleep_until_ended(seen, "closed"));
    co_await yield();
    t.cancel();
    CHECK(seen.empty());
    CHECK_FALSE(t.settled());
    co_await t.join();
    CHECK(seen == trace{"closed"});
    auto returned = spawn([](closer) -> task<> { co_return; }(closer(seen, "parameter")));
    co_await returned.join();
    CHECK(seen.back() == "parameter");
  });
}

TEST_CASE("JOIN-19: what is spawned while all is being cancelled never starts") {
  world w;
  trace seen;
  const auto end = w.end_of([&]() -> task<> {
    w.rt.cancel_all(cancel_source::shutdown, "over", "test");
    auto late = w.rt.spawn(note(seen, "started"));
    co_await late.join();
  });
  CHECK(end.cancelled());
  auto later = w.rt.spawn(note(seen, "started"));
  w.rt.run_until_idle();
  REQUIRE(later.settled());
  CHECK(later.outcome_now().cancelled());
  CHECK(seen.empty());
}

TEST_CASE("JOIN-20: children start in spawn order, none inside spawn") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    spawn(note(seen, "1"));
    spawn(note(seen, "2"));
    spawn(note(seen, "3"));
    CHECK(seen.empty());
    co_await yield();
    CHECK(seen == trace{"1", "2", "3"});
  });
}

TEST_CASE("JOIN-21: spawning a task that was moved away is misuse") {
  world w;
  w.run([]() -> task<> {
    task<int> t = twice(1);
    auto first = spawn(std::move(t));
    try {
      spawn(std::move(t));
      FAIL("spawned twice");
    } catch (const task_error& e) {
      CHECK(e.problem().kind == error_kind::misuse);
    }
    co_await first.join();
  });
  CHECK_THROWS_AS(spawn(twice(1)), task_error);
}

TEST_CASE("JOIN-23: the end of one task leaves all others alone") {
  world w;
  w.run([]() -> task<> {
    std::vector<task_handle<int>> good;
    for (int i = 0; i < 100; ++i) {
      good.push_back(spawn(twice(i)));
      spawn(fail("bad"));
    }
    for (int i = 0; i < 100; ++i) {
      const auto& end = co_await good[static_cast<std::size_t>(i)].join();
      CHECK(end.value() == 2 * i);
    }
  });
  CHECK(w.unobserved.size() == 100);
}
