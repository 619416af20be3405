// Mutexes of C++ tasks, plain and keyed: exclusion, order, owners, and what a cancellation leaves behind.
#include <optional>
#include <vector>

#include <perilune/mutex.hpp>
#include <perilune/once.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> hold(mutex& m, trace& seen, std::string name, duration span = 0s) {
  const guard g = co_await m.lock();
  seen.push_back(std::move(name));
  co_await sleep(span);
}

task<> lock_and_fail(mutex& m) {
  const guard g = co_await m.lock();
  throw std::runtime_error("failed inside");
}

}  // namespace

TEST_CASE("LCK-01: exclusion holds across suspensions, and waiters are served in order") {
  world w;
  mutex m;
  trace seen;
  w.run([&]() -> task<> {
    for (const char* name : {"a", "b", "c"}) spawn(hold(m, seen, name, 1s));
    co_await yield();
    CHECK(seen == trace{"a"});
    CHECK(m.waiting() == 2);
  });
  CHECK(seen == trace{"a", "b", "c"});
  CHECK(w.time.now() == 3s);
  CHECK_FALSE(m.locked());
}

TEST_CASE("LCK-02, CAN-33: a waiter that is cancelled, queued or granted, leaves the lock to the next") {
  for (const bool granted : {false, true}) {
    world w;
    mutex m;
    trace seen;
    w.run([&]() -> task<> {
      guard g = co_await m.lock();
      auto first = spawn(hold(m, seen, "first"));
      auto second = spawn(hold(m, seen, "second"));
      co_await yield();
      if (granted) g.release();
      first.cancel();
      if (!granted) g.release();
      co_await second.join();
    });
    CHECK(seen == trace{"second"});
    CHECK_FALSE(m.locked());
  }
}

TEST_CASE("LCK-03: a failed or cancelled holder leaves the lock free, and a mark") {
  world w;
  mutex m;
  trace seen;
  w.run([&]() -> task<> {
    co_await spawn(lock_and_fail(m)).join();
    CHECK(m.abandoned());
    co_await spawn(hold(m, seen, "well")).join();
    CHECK_FALSE(m.abandoned());
    auto cancelled = spawn(hold(m, seen, "cancelled", 10s));
    co_await yield();
    cancelled.cancel();
    co_await cancelled.join();
    CHECK(m.abandoned());
    CHECK_FALSE(m.locked());
  });
}

TEST_CASE("LCK-04: the owner that locks again is told where it holds the lock") {
  world w;
  mutex m;
  std::string message;
  w.run([&]() -> task<> {
    const guard g = co_await m.lock();
    const bool again = m.try_lock().has_value();
    CHECK_FALSE(again);
    try {
      const guard second = co_await m.lock();
    } catch (const task_error& e) {
      message = e.what();
    }
  });
  CHECK(message.find("this mutex is already held by task 1 at ") == 0);
  CHECK(message.find("mutex.cpp:") != std::string::npos);
}

TEST_CASE("LCK-05: a task that ends gives up a lock that its guard has outlived") {
  world w;
  mutex m;
  std::optional<guard> kept;
  w.run([&]() -> task<> {
    spawn([](mutex& lock, std::optional<guard>& where) -> task<> { where.emplace(co_await lock.lock()); }(m, kept));
    co_await yield();
    CHECK_FALSE(m.locked());
    CHECK(m.abandoned());
    CHECK_FALSE(static_cast<bool>(*kept));
  });
}

TEST_CASE("LCK-06: only the owner releases, and once") {
  world w;
  mutex m;
  w.run([&]() -> task<> {
    guard g = co_await m.lock();
    auto other = spawn([](guard& held) -> task<> {
      held.release();
      co_return;
    }(g));
    const auto& end = co_await other.join();
    CHECK(end.failed());
    CHECK(end.error().message.find("cannot release it") != std::string::npos);
    CHECK(m.locked());
    guard moved = std::move(g);
    moved.release();
    CHECK_FALSE(m.locked());
    CHECK_THROWS_AS(moved.release(), task_error);
  });
}

TEST_CASE("LCK-07: a lock operation that lost a select has left the queue") {
  world w;
  mutex m;
  trace seen;
  w.run([&]() -> task<> {
    auto owner = spawn(hold(m, seen, "owner", 5s));
    co_await yield();
    auto lost = co_await select(m.lock_op(), sleep_op(1s));
    CHECK(lost.index() == 1);
    CHECK(m.waiting() == 0);
    auto won = co_await select(m.lock_op(), sleep_op(10s));
    CHECK(won.index() == 0);
    CHECK(m.locked());
    CHECK_FALSE(m.abandoned());
  });
  CHECK_FALSE(m.locked());
}

TEST_CASE("DLK-02: a cycle of locks is a deadlock at once, with the places of the holders") {
  world w;
  mutex a, b;
  const auto take = [](mutex& first, mutex& second) -> task<> {
    const guard outer = co_await first.lock();
    co_await yield();
    const guard inner = co_await second.lock();
  };
  w.run([&]() -> task<> {
    auto one = spawn(take(a, b));
    auto two = spawn(take(b, a));
    const auto& end = co_await two.join();
    CHECK(end.failed());
    CHECK(end.error().kind == error_kind::deadlock);
    CHECK(end.error().message.find("a mutex held by task") != std::string::npos);
    CHECK(end.error().message.find("mutex.cpp:") != std::string::npos);
    const auto& other = co_await one.join();
    CHECK(other.returned());
  });
}

TEST_CASE("DLK-08: a lock held for too long while somebody waits is told once") {
  trace told;
  runtime_options options;
  options.long_hold = 2s;
  options.on_long_hold = [&](const std::string& warning) { told.push_back(warning); };
  world w(std::move(options));
  mutex m;
  trace seen;
  w.run([&]() -> task<> {
    spawn(hold(m, seen, "owner", 10s));
    co_await sleep(5s);
    CHECK(told.empty());
    spawn(hold(m, seen, "waiter"));
    co_await sleep(1s);
    CHECK(told.size() == 1);
  });
  REQUIRE(told.size() == 1);
  CHECK(told.front().find("a mutex has been held for 5.000 s by task") == 0);
  CHECK(told.front().find("while 1 task waits") != std::string::npos);
}

TEST_CASE("keyed_mutex: one lock for each key, and no room for keys nobody holds") {
  world w;
  keyed_mutex<std::string> keys;
  trace seen;
  w.run([&]() -> task<> {
    const auto use = [](keyed_mutex<std::string>& locks, std::string key, trace& note, std::string name) -> task<> {
      auto g = co_await locks.lock(key);
      note.push_back(name);
      co_await sleep(1s);
    };
    auto a = spawn(use(keys, "x", seen, "x1"));
    auto b = spawn(use(keys, "x", seen, "x2"));
    auto c = spawn(use(keys, "y", seen, "y1"));
    co_await yield();
    CHECK(keys.size() == 2);
    const bool taken = keys.try_lock("x").has_value();
    CHECK_FALSE(taken);
    co_await a.join();
    co_await b.join();
    co_await c.join();
    CHECK(keys.size() == 0);
  });
  CHECK(seen == trace{"x1", "y1", "x2"});
}

TEST_CASE("ONC-01, ONC-02: made once; where that fails, the next in line makes it") {
  world w;
  int runs = 0;
  once<int> value([&]() -> task<int> {
    const int mine = ++runs;
    co_await sleep(1s);
    if (mine == 1) throw std::runtime_error("first fails");
    co_return mine;
  });
  w.run([&]() -> task<> {
    const auto get = [](once<int>& from) -> task<int> { co_return *co_await from.get(); };
    auto a = spawn(get(value));
    auto b = spawn(get(value));
    auto c = spawn(get(value));
    const auto& first = co_await a.join();
    CHECK(first.failed());
    const auto& second = co_await b.join();
    CHECK(second.value() == 2);
    const auto& third = co_await c.join();
    CHECK(third.value() == 2);
  });
  CHECK(runs == 2);
}
