// Coroutines as calls: frames that never run, exceptions that pass through, results that cannot be moved, depth.
#include <perilune/task.hpp>

#include <stdexcept>
#include <string>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

// A value that cannot be moved to where it should go.
struct immovable_at_last {
  immovable_at_last() = default;
  immovable_at_last(const immovable_at_last&) = default;
  immovable_at_last(immovable_at_last&&) { throw std::runtime_error("cannot move"); }
};

task<immovable_at_last> return_unmovable() { co_return immovable_at_last(); }

}  // namespace

TEST_CASE("a task that is never awaited nor spawned never runs, and frees what it was given") {
  trace seen;
  {
    task<> idle = [](trace& t, closer) -> task<> { return note(t, "ran"); }(seen, closer(seen, "freed"));
    static_cast<void>(idle);
  }
  CHECK(seen == trace{"freed"});
}

TEST_CASE("an exception passes through awaiting coroutines and their destructors") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const auto inner = [](trace& t) -> task<int> {
      const closer guard(t, "inner");
      co_await yield();
      throw std::runtime_error("deep");
    };
    const auto outer = [&inner](trace& t) -> task<int> {
      const closer guard(t, "outer");
      co_return co_await inner(t);
    };
    try {
      co_await outer(seen);
      FAIL("no exception");
    } catch (const std::runtime_error& e) {
      CHECK(std::string(e.what()) == "deep");
    }
  });
  CHECK(seen == trace{"inner", "outer"});
}

TEST_CASE("a result that cannot be moved is a failure of the task") {
  world w;
  w.run([]() -> task<> {
    auto t = spawn(return_unmovable());
    const auto& end = co_await t.join();
    REQUIRE(end.failed());
    CHECK(end.error().message == "std::runtime_error: cannot move");
  });
}

TEST_CASE("calls and returns leave the native stack flat") {
  world w;
  w.run([]() -> task<> {
    const auto immediate = [](long i) -> task<long> { co_return i; };
    long sum = 0;
    for (long i = 0; i < 200'000; ++i) sum += co_await immediate(i);
    CHECK(sum == 199'999L * 200'000 / 2);
    struct deep {
      static task<long> down(long n) {
        if (n == 0) {
          co_await yield();
          co_return 0;
        }
        co_return 1 + co_await down(n - 1);
      }
    };
    const long depth = co_await deep::down(100'000);
    CHECK(depth == 100'000);
  });
}

TEST_CASE("what is spawned by a destructor at a task's end is waited for") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    struct spawns {
      trace* seen;
      ~spawns() { spawn(note(*seen, "child")); }
    };
    auto t = spawn([](trace& s) -> task<> {
      const spawns guard{&s};
      co_return;
    }(seen));
    co_await t.join();
    CHECK(seen == trace{"child"});
  });
}
