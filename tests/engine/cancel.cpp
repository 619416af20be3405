// Cancelling C++ tasks: when it is delivered, what it may not take back, shields, grace, and trees of any shape.
#include <perilune/cancel.hpp>

#include <memory>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/scope.hpp>
#include <perilune/select.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> sleep_then_note(trace& seen) {
  const closer guard(seen, "closed");
  co_await sleep(1h);
  seen.push_back("after");
}

task<> cancel_self(task_handle<void>& self, trace& seen) {
  self.cancel("myself");
  seen.push_back("before");
  co_await sleep(1s);
  seen.push_back("after");
}

task<> tree(trace& seen, int depth) {
  const closer guard(seen, "level " + std::to_string(depth));
  if (depth > 1) spawn(tree(seen, depth - 1));
  co_await sleep(1h);
}

task<> nest(int depth, long& deepest) {
  deepest = std::max<long>(deepest, depth);
  if (depth > 0)
    co_await shield(try_timeout(1h, nest(depth - 1, deepest)));
  else
    co_await sleep(duration::max());
}

task<> nest_regions(int depth) {
  if (depth > 0)
    co_await try_timeout(duration::max(), nest_regions(depth - 1));
  else
    co_await sleep(duration::max());
}

task<> chain_of_scopes(int depth, int& alive) {
  struct counted {
    int* n;
    ~counted() { --*n; }
  };
  ++alive;
  const counted guard{&alive};
  if (depth == 0) co_await sleep(duration::max());
  co_await with_scope(scope_policy::fail_fast, [&, depth](scope& s) -> task<> {
    s.spawn(chain_of_scopes(depth - 1, alive));
    co_await sleep(duration::max());
  });
}

}  // namespace

TEST_CASE("CAN-01: cancelling a sleeping task runs its destructors and nothing else") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn(sleep_then_note(seen));
    co_await sleep(1s);
    t.cancel();
    co_await t.join();
    CHECK(t.outcome_now().cancelled());
    CHECK(now() == 1s);
  });
  CHECK(seen == trace{"closed"});
}

TEST_CASE("CAN-02: a task cancelled before its start never runs") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn(note(seen, "ran"));
    t.cancel();
    co_await t.join();
    CHECK(t.outcome_now().cancelled());
  });
  CHECK(seen.empty());
}

TEST_CASE("CAN-03: a task spawned below a cancelled scope never starts") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    task_handle<void> late;
    co_await with_scope(scope_policy::fail_fast, [&](scope& s) -> task<> {
      s.cancel();
      late = s.spawn(note(seen, "ran"));
      co_return;
    });
    CHECK(late.outcome_now().cancelled());
  });
  CHECK(seen.empty());
}

TEST_CASE("CAN-05: cancelling twice is cancelling once, for the first reason") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(sleeper(1h));
    co_await yield();
    t.cancel("first");
    t.cancel("second");
    const auto& end = co_await t.join();
    CHECK(end.reason()->text == "first");
    t.cancel("third");
    CHECK(t.outcome_now().reason()->text == "first");
  });
}

TEST_CASE("CAN-06: cancel returns at once; the task settles when its cleanup is done") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn([](trace& s) -> task<> {
      spawn(sleep_until_ended(s, "child"));
      co_await sleep_until_ended(s, "body");
    }(seen));
    co_await sleep(1s);
    t.cancel();
    CHECK_FALSE(t.settled());
    CHECK(seen.empty());
    co_await t.join();
    CHECK(seen == trace{"child", "body"});
  });
}

TEST_CASE("CAN-07: a cancelled task is cleaned up though its handle is dropped") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn(sleep_until_ended(seen, "closed"));
    co_await yield();
    t.cancel();
    t = {};
    co_await yield();
    CHECK(seen == trace{"closed"});
  });
}

TEST_CASE("CAN-12: a task that cancels itself ends at its next suspension") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    task_handle<void> self;
    self = spawn(cancel_self(self, seen));
    const auto& end = co_await self.join();
    CHECK(end.cancelled());
    CHECK(end.reason()->by_task == self.id());
  });
  CHECK(seen == trace{"before"});
}

TEST_CASE("CAN-12: an operation that is ready is a suspension point too") {
  world w;
  w.run([]() -> task<> {
    channel<int> full(1);
    CHECK(full.try_send(1));
    task_handle<void> self;
    int received = 0;
    const auto body = [](task_handle<void>& own, channel<int> from, int& got) -> task<> {
      own.cancel();
      co_await from.recv();
      ++got;
    };
    self = spawn(body(self, full, received));
    co_await self.join();
    CHECK(self.outcome_now().cancelled());
    CHECK(received == 0);
    CHECK(full.size() == 1);
  });
}

TEST_CASE("CAN-22: a shield keeps a cancellation out until it is over") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn([](trace& s) -> task<> {
      co_await shield(sleeper(5s));
      s.push_back("shielded part done at " + std::to_string(now() / 1s));
      co_await yield();
      s.push_back("after");
    }(seen));
    co_await sleep(1s);
    t.cancel();
    co_await t.join();
    CHECK(t.outcome_now().cancelled());
    CHECK(now() == 5s);
  });
  CHECK(seen == trace{"shielded part done at 5"});
}

TEST_CASE("CAN-23: a shield's own limit cuts it") {
  world w;
  w.run([]() -> task<> {
    const auto cut = co_await shield(sleeper(1h), 2s);
    CHECK_FALSE(cut.has_value());
    CHECK(now() == 2s);
    const auto whole = co_await shield(value_of(3), 2s);
    CHECK(whole == 3);
  });
}

TEST_CASE("CAN-24: a shield that never ends is killed after the grace, and named") {
  world w{runtime_options{.grace = 3s}};
  trace seen;
  w.run([&]() -> task<> {
    auto first = spawn([](trace& s) -> task<> {
      co_await shield(sleep_until_ended(s, "first at " + std::to_string(now() / 1s)));
    }(seen));
    auto second = spawn([](trace& s) -> task<> { co_await shield(sleep_until_ended(s, "second")); }(seen));
    co_await sleep(1s);
    first.cancel();
    co_await sleep(2s);
    second.cancel();
    const auto& end = co_await first.join();
    CHECK(now() == 4s);
    CHECK(end.cancelled());
    CHECK(end.reason()->source == cancel_source::cancel);
    co_await second.join();
    CHECK(now() == 6s);
    CHECK(w.overstayed == std::vector<std::uint64_t>{first.id(), second.id()});
  });
}

TEST_CASE("CAN-25: a cancellation reaches every descendant, whoever holds handles") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto root = spawn(tree(seen, 5));
    for (int i = 0; i < 10; ++i) co_await yield();
    root.cancel();
    co_await root.join();
  });
  CHECK(seen == trace{"level 1", "level 2", "level 3", "level 4", "level 5"});
}

TEST_CASE("CAN-31: the outcome tells why, and who asked") {
  world w;
  w.run([]() -> task<> {
    auto child = spawn([]() -> task<> {
      spawn(sleeper(1h));
      co_await sleep(1h);
    }());
    co_await yield();
    child.cancel("no longer needed");
    const auto& end = co_await child.join();
    REQUIRE(end.cancelled());
    CHECK(end.reason()->text == "no longer needed");
    CHECK(std::string(to_string(end.reason()->source)) == "cancel");
    CHECK(end.reason()->by_task == scheduler::here()->current()->id);
  });
}

TEST_CASE("CAN-34: deep nests of scopes and tasks are cancelled without a deep native stack") {
  world w;
  w.run([]() -> task<> {
    auto regions = spawn(nest_regions(2000));
    int alive = 0;
    auto chain = spawn(chain_of_scopes(2000, alive));
    co_await sleep(1s);
    CHECK(alive == 2001);
    regions.cancel();
    chain.cancel();
    co_await regions.join();
    CHECK(regions.outcome_now().cancelled());
    co_await chain.join();
    CHECK(chain.outcome_now().cancelled());
    CHECK(alive == 0);
  });
}

TEST_CASE("CAN-24: kill passes every shield") {
  world w;
  long deepest = 0;
  w.run([&]() -> task<> {
    auto t = spawn(nest(50, deepest));
    co_await sleep(1s);
    t.cancel();
    co_await sleep(1s);
    CHECK_FALSE(t.settled());
    kill(t.header(), reason_ptr::make(cancel_source::cancel, "now"));
    co_await t.join();
    CHECK(t.outcome_now().cancelled());
    CHECK(now() == 2s);
  });
  CHECK(deepest == 50);
}

TEST_CASE("tasks that leave a shield into a cancelled scope are cancelled there") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn([](trace& s) -> task<> {
      co_await shield([](trace& inner) -> task<> {
        spawn(sleep_until_ended(inner, "left behind"));
        co_await sleep(2s);
      }(s));
    }(seen));
    co_await sleep(1s);
    t.cancel();
    co_await t.join();
    CHECK(now() == 2s);
  });
  CHECK(seen == trace{"left behind"});
}

TEST_CASE("a reason survives detaching") {
  world w;
  w.run([]() -> task<> {
    task_handle<void> inner;
    auto outer = spawn([](task_handle<void>& child) -> task<> {
      child = spawn([]() -> task<> {
        co_await shield(sleeper(2s));
        co_await yield();
      }());
      co_await sleep(1h);
    }(inner));
    co_await sleep(1s);
    outer.cancel("why");
    inner.detach();
    co_await outer.join();
    CHECK(now() == 1s);
    co_await inner.join();
    REQUIRE(inner.outcome_now().cancelled());
    CHECK(inner.outcome_now().reason()->text == "why");
  });
}

TEST_CASE("a parent that only waits for a child settles when the child is detached") {
  world w;
  w.run([]() -> task<> {
    task_handle<void> child;
    auto parent = spawn([](task_handle<void>& c) -> task<> {
      c = spawn(sleeper(5s));
      co_return;
    }(child));
    co_await sleep(1s);
    CHECK(parent.state() == task_state::closing);
    child.detach();
    co_await parent.join();
    CHECK(parent.outcome_now().returned());
    CHECK(now() == 1s);
    CHECK_FALSE(child.settled());
  });
}
