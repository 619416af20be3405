// Scopes and time limits of C++ tasks: who is waited for, who is cancelled, and what the outcome is.
#include <perilune/scope.hpp>

#include <string>

#include <perilune/channel.hpp>
#include <perilune/token.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

trace messages(const group_error& group) {
  trace all;
  for (const auto& failure : group.failures()) all.push_back(text_of(failure));
  return all;
}

// The failures of the group that `body` throws.
task<trace> group_of(task<std::optional<unit>> body) {
  trace all;
  try {
    co_await body;
  } catch (const group_error& group) {
    all = messages(group);
  }
  co_return all;
}

}  // namespace

TEST_CASE("SCO-01: a scope waits for all its members") {
  world w;
  w.run([]() -> task<> {
    const auto result = co_await with_scope(scope_policy::fail_fast, [](scope& s) -> task<int> {
      s.spawn(sleeper(3s));
      s.spawn(sleeper(5s));
      co_return 7;
    });
    CHECK(result == 7);
    CHECK(now() == 5s);
  });
}

TEST_CASE("SCO-02: the first failure cancels the siblings and the body, then the scope throws") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto failures = co_await group_of(with_scope(scope_policy::fail_fast, [&](scope& s) -> task<> {
      const closer guard(seen, "body");
      s.spawn(sleep_until_ended(seen, "sibling"));
      s.spawn(fail_after(1s, "first"));
      co_await sleep(1h);
    }));
    CHECK(failures == trace{"std::runtime_error: first"});
    CHECK(now() == 1s);
  });
  CHECK(seen == trace{"sibling", "body"});
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-03: failures of one moment are one group, in their order") {
  world w;
  w.run([]() -> task<> {
    const auto failures = co_await group_of(with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
      s.spawn(fail_after(1s, "a"));
      s.spawn(fail_after(1s, "b"));
      s.spawn(fail_after(2s, "late"));
      co_return;
    }));
    CHECK(failures == trace{"std::runtime_error: a", "std::runtime_error: b"});
  });
}

TEST_CASE("SCO-04, SCO-05: the body's failure is part of the group, alone or not") {
  world w;
  w.run([]() -> task<> {
    const auto both = co_await group_of(with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
      s.spawn(fail_after(1s, "member"));
      co_await sleep(1s);
      throw std::runtime_error("body");
    }));
    CHECK(both == trace{"std::runtime_error: body", "std::runtime_error: member"});
    const auto alone =
        co_await group_of(with_scope(scope_policy::fail_fast, [](scope&) -> task<> { co_await fail("body"); }));
    CHECK(alone == trace{"std::runtime_error: body"});
  });
}

TEST_CASE("SCO-06: cancelled siblings are no failures; what their cleanup fails with is reported") {
  world w;
  w.run([&]() -> task<> {
    const auto failures = co_await group_of(with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
      s.spawn([]() -> task<> { co_await sleep(1h); }());
      s.spawn(fail_after(1s, "cause"));
      co_return;
    }));
    CHECK(failures == trace{"std::runtime_error: cause"});
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("SCO-07: a scope cancelled from outside is cancelled; a real failure after that wins") {
  world w;
  w.run([]() -> task<> {
    auto clean = spawn([]() -> task<> {
      co_await with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
        s.spawn(sleeper(1h));
        co_return;
      });
      FAIL("the scope returned");
    }());
    auto failing = spawn([]() -> task<> {
      co_await with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
        s.spawn([]() -> task<> {
          co_await shield(sleeper(2s));
          throw std::runtime_error("after the cancel");
        }());
        co_return;
      });
    }());
    co_await sleep(1s);
    clean.cancel();
    failing.cancel();
    co_await clean.join();
    CHECK(clean.outcome_now().cancelled());
    const auto& end = co_await failing.join();
    REQUIRE(end.failed());
    CHECK_THROWS_AS(std::rethrow_exception(end.exception()), group_error);
  });
}

TEST_CASE(
    "SCO-07, JOIN-13: a member's failure is told when the scope is cancelled from outside before it could throw") {
  world w;
  w.run([&]() -> task<> {
    auto owner = spawn([]() -> task<> {
      co_await with_scope(scope_policy::fail_fast, [](scope& s) -> task<> {
        s.spawn(fail_after(1s, "first"));
        s.spawn([]() -> task<> { co_await shield(sleeper(5s)); }());
        co_await sleep(1h);
      });
    }());
    co_await sleep(2s);
    owner.cancel();
    const auto& end = co_await owner.join();
    CHECK(end.cancelled());
    CHECK(now() == 5s);
  });
  CHECK(w.unobserved == trace{"std::runtime_error: first"});
}

TEST_CASE("SCO-11: under supervise a member's failure is its own") {
  world w;
  w.run([&w]() -> task<> {
    task_handle<void> failed;
    const auto result = co_await with_scope(scope_policy::supervise, [&](scope& s) -> task<int> {
      failed = s.spawn(fail("own"));
      s.spawn(sleeper(2s));
      co_return 1;
    });
    CHECK(result == 1);
    CHECK(now() == 2s);
    CHECK(w.unobserved.empty());
    failed = {};
    CHECK(w.unobserved == trace{"std::runtime_error: own"});
  });
}

TEST_CASE("SCO-12: under supervise the body's failure cancels the members") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto failures = co_await group_of(with_scope(scope_policy::supervise, [&](scope& s) -> task<> {
      s.spawn(sleep_until_ended(seen, "member"));
      co_await sleep(1s);
      throw std::runtime_error("body");
    }));
    CHECK(failures == trace{"std::runtime_error: body"});
  });
  CHECK(seen == trace{"member"});
}

TEST_CASE("SCO-18: a scope with a time limit ends its members") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto scoped = [](trace& s) -> task<int> {
      const auto value = co_await with_scope(scope_policy::fail_fast, [&s](scope& members) -> task<int> {
        members.spawn(sleep_until_ended(s, "member"));
        co_return 1;
      });
      co_return value.value_or(0);
    };
    const auto result = co_await try_timeout(2s, scoped(seen));
    CHECK_FALSE(result.has_value());
    CHECK(now() == 2s);
  });
  CHECK(seen == trace{"member"});
}

TEST_CASE("SCO-19: a detached task outlives the scope it was spawned in") {
  world w;
  w.run([]() -> task<> {
    task_handle<int> detached;
    co_await try_timeout(1s, [](task_handle<int>& handle) -> task<> {
      handle = spawn(
          []() -> task<int> {
            co_await sleep(5s);
            co_return 3;
          }(),
          {.detached = true});
      co_await sleep(1h);
    }(detached));
    co_await detached.join();
    CHECK(detached.outcome_now().value() == 3);
    CHECK(now() == 5s);
  });
}

TEST_CASE("SCO-32: cancelled while it waits for members, a scope still waits for them") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto owner = spawn([](trace& s) -> task<> {
      co_await with_scope(scope_policy::fail_fast, [&s](scope& members) -> task<> {
        members.spawn([](trace& inner) -> task<> {
          const closer guard(inner, "member");
          co_await shield(sleeper(3s));
        }(s));
        co_return;
      });
    }(seen));
    co_await sleep(1s);
    owner.cancel();
    co_await sleep(1s);
    CHECK_FALSE(owner.settled());
    co_await owner.join();
    CHECK(now() == 3s);
  });
  CHECK(seen == trace{"member"});
}

TEST_CASE("a scope that is cancelled by a member cuts its body and yields nothing") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto result = co_await with_scope(scope_policy::fail_fast, [&](scope& s) -> task<int> {
      const closer guard(seen, "body");
      s.spawn([](scope& own) -> task<> {
        own.cancel("enough");
        co_return;
      }(s));
      co_await sleep(1h);
      co_return 1;
    });
    CHECK_FALSE(result.has_value());
  });
  CHECK(seen == trace{"body"});
}

TEST_CASE("what is spawned past a scope hangs below it, and passes on when the scope ends normally") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    task_handle<void> kept;
    co_await with_scope(scope_policy::fail_fast, [&](scope& s) -> task<> {
      kept = spawn(sleep_until_ended(seen, "kept"));
      s.spawn(sleeper(1s));
      co_return;
    });
    CHECK(now() == 1s);
    CHECK_FALSE(kept.settled());
    const auto cut = co_await try_timeout(1s, [](trace& s) -> task<> {
      spawn(sleep_until_ended(s, "cut"));
      co_await sleep(1h);
    }(seen));
    CHECK_FALSE(cut.has_value());
    CHECK(seen == trace{"cut"});
    kept.cancel();
    co_await kept.join();
  });
}

TEST_CASE("a daemon spawned inside a scope does not hold it") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn([](trace& s) -> task<> {
      co_await with_scope(scope_policy::fail_fast, [&s](scope& members) -> task<> {
        spawn(sleep_until_ended(s, "daemon"), {.daemon = true});
        members.spawn(sleeper(1s));
        co_return;
      });
      s.push_back("scope over");
    }(seen));
    co_await t.join();
    CHECK(now() == 1s);
  });
  CHECK(seen == trace{"scope over", "daemon"});
}

TEST_CASE("SCO-02: a body whose frames are deep is destroyed from the innermost outwards") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    struct levels {
      static task<> down(trace& s, int depth) {
        const closer guard(s, std::to_string(depth));
        if (depth < 3) co_await down(s, depth + 1);
        co_await sleep(1h);
      }
    };
    co_await group_of(with_scope(scope_policy::fail_fast, [&](scope& s) -> task<> {
      s.spawn(fail_after(1s, "x"));
      co_await levels::down(seen, 1);
    }));
  });
  CHECK(seen == trace{"3", "2", "1"});
}

TEST_CASE("SCO-07: a scope whose task is cancelled frees its body") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto t = spawn([](trace& s) -> task<> {
      const closer outer(s, "task");
      co_await with_scope(scope_policy::fail_fast, [&s](scope& members) -> task<> {
        const closer guard(s, "body");
        members.spawn(sleep_until_ended(s, "member"));
        co_await sleep(1h);
      });
    }(seen));
    co_await sleep(1s);
    t.cancel();
    co_await t.join();
  });
  CHECK(seen == trace{"member", "body", "task"});
}

namespace {

// A region of a body that does not leave it, as a coroutine of a script does that is abandoned inside of one.
class open_region final : public scope_node {};

}  // namespace

TEST_CASE("SCO-14: a region that a body has left open is over before its task settles, and what hung below has ended") {
  world w;
  trace seen;
  open_region region, inner;
  token_state* const token = new token_state;
  token_bond bond;
  w.run([&]() -> task<> {
    const auto t = spawn([](scope_node& outer, scope_node& in, token_bond& tie, token_state& by, trace& s) -> task<> {
      outer.enter(*scheduler::here()->current());
      outer.set_deadline(static_cast<std::uint64_t>(duration(1h).count()));
      tie.bind(by, outer);
      in.enter(*scheduler::here()->current());
      spawn(sleep_until_ended(s, "below"));
      co_await yield();
    }(region, inner, bond, *token, seen));
    const auto& end = co_await t.join();
    CHECK(end.returned());
    CHECK(seen == trace{"below"});
    CHECK_FALSE(region.entered());
    CHECK_FALSE(inner.entered());
    token->cancel(reason_ptr::make(cancel_source::cancel, "later"));
    CHECK(now() == 0s);
  });
  bond.release();
  token->release();
}
