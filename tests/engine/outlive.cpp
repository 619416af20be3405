// Handles and channels that outlive their runtime, or are used from another one: an error or an answer, never a crash.
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

#include <perilune/channel.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

TEST_CASE("RUN-12: a handle of a runtime that is gone still has its outcome") {
  task_handle<int> done;
  task_handle<void> ended;
  task_handle<void> failed;
  {
    world w;
    done = w.rt.spawn(value_of(7));
    ended = w.rt.spawn(sleeper(1h));
    failed = w.rt.spawn(fail("disk full"));
    w.rt.tick();
  }
  CHECK(done.outcome_now().value() == 7);
  CHECK(ended.outcome_now().cancelled());
  CHECK(failed.outcome_now().error().message == "std::runtime_error: disk full");
  done.cancel("too late");
  ended.detach();
  CHECK(ended.state() == task_state::cancelled);
}

TEST_CASE("RUN-12: a handle of a runtime that is gone can be joined in another") {
  task_handle<int> done;
  {
    world w;
    done = w.rt.spawn(value_of(7));
    w.rt.tick();
  }
  world w;
  CHECK(w.run([&]() -> task<int> {
    const auto& end = co_await done.join();
    co_return end.value();
  }) == 7);
}

TEST_CASE("RUN-12: a task of one runtime cannot be waited for in another") {
  world a;
  world b;
  const auto sleeping = a.rt.spawn(sleeper(1h));
  a.rt.tick();
  const auto end = b.end_of([&]() -> task<> { co_await sleeping.join(); });
  REQUIRE(end.failed());
  CHECK(end.error().kind == error_kind::misuse);
  CHECK_FALSE(sleeping.settled());
}

TEST_CASE("RUN-12: a channel belongs to the runtime that used it first") {
  world a;
  world b;
  const channel<int> ch(1);
  a.run([&]() -> task<> { co_await ch.send(1); });
  const auto end = b.end_of([&]() -> task<> { co_await ch.recv(); });
  REQUIRE(end.failed());
  CHECK(end.error().kind == error_kind::misuse);
  CHECK(ch.size() == 1);
  const auto value = a.run([&]() -> task<std::optional<int>> { co_return co_await ch.recv(); });
  CHECK(value == 1);
}

TEST_CASE("RUN-12: a channel outlives its runtime, with what is in it and without who waited") {
  const channel<std::string> ch(1);
  {
    world w;
    w.rt.spawn([](channel<std::string> to) -> task<> {
      co_await to.send("kept");
      co_await to.send("waits for ever");
    }(ch));
    w.rt.tick();
    CHECK(ch.stats().waiting_senders == 1);
  }
  CHECK(ch.stats().waiting_senders == 0);
  CHECK(ch.try_recv().second == "kept");
  CHECK(ch.try_recv().first == channel_status::empty);
  ch.close();
  CHECK(ch.try_send("late").status == channel_status::closed);
}

TEST_CASE("JOIN-22: a join in C++ gets the very exception, with its type") {
  struct disk_error : std::runtime_error {
    using std::runtime_error::runtime_error;
    int code = 28;
  };
  world w;
  w.run([]() -> task<> {
    auto t = spawn([]() -> task<> {
      throw disk_error("full");
      co_return;
    }());
    const auto& end = co_await t.join();
    REQUIRE(end.failed());
    try {
      std::rethrow_exception(end.exception());
      FAIL("nothing thrown");
    } catch (const disk_error& e) {
      CHECK(e.code == 28);
      CHECK(std::string(e.what()) == "full");
    }
  });
}
