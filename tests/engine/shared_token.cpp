// Tokens between workers: who is reached by a cancellation, wherever it comes from, and what a bound scope yields.
#include <perilune/remote.hpp>
#include <perilune/select.hpp>
#include <perilune/shared_channel.hpp>
#include <perilune/shared_token.hpp>

#include <thread>
#include <vector>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

runtime_options two_workers() { return {.workers = 2}; }

task<std::string> wait_for(shared_token token) {
  co_await token.wait();
  co_return token.reason();
}

// Says that it is inside, and sleeps for ever.
task<int> inside(shared_channel<int> said) {
  co_await said.send(1);
  co_await sleep(duration::max());
  co_return 1;
}

task<bool> is_cut(shared_token token, shared_channel<int> said) {
  const auto value = co_await with_token(token, inside(said));
  co_return !value;
}

}  // namespace

TEST_CASE("CAN-08: a token made on one worker wakes who waits for it on all", "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_token token;
    auto far = spawn_on(w.rt, 1, wait_for(token));
    auto near = spawn(wait_for(token));
    co_await sleep(1ms);
    CHECK_FALSE(far.settled());
    CHECK(token.reason().empty());
    token.cancel("enough");
    token.cancel("later");
    CHECK(token.cancelled());
    const auto& here = co_await near.join();
    CHECK(here.value() == "enough");
    auto there = co_await far.join();
    CHECK(there.value() == "enough");
  });
}

TEST_CASE("CAN-08: another worker's task, and a thread without tasks, cancel a token", "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_token one, two;
    auto far = spawn_on(w.rt, 1, [](shared_token token) -> task<> {
      token.cancel("from afar");
      co_return;
    }(one));
    co_await one.wait();
    CHECK(one.reason() == "from afar");
    auto done = co_await far.join();
    CHECK(done.returned());
    std::thread outside([two] { two.cancel("from outside"); });
    outside.join();
    co_await two.wait();
    CHECK(two.reason() == "from outside");
  });
}

TEST_CASE("CAN-27: children of a token are cancelled with it on every worker, and born cancelled afterwards",
          "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_token root;
    const shared_token below = root.child().child(), alone = root.child();
    alone.cancel("alone");
    CHECK_FALSE(root.cancelled());
    auto far = spawn_on(w.rt, 1, wait_for(below));
    co_await sleep(1ms);
    root.cancel("all");
    auto end = co_await far.join();
    CHECK(end.value() == "all");
    CHECK(alone.reason() == "alone");
    const shared_token born = root.child();
    CHECK(born.reason() == "all");
    co_await born.wait();
  });
}

TEST_CASE("CAN-05, CAN-29: a scope bound to a token is cut by a cancellation from another worker", "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_token token;
    const shared_channel<int> said(2);
    auto far = spawn_on(w.rt, 1, is_cut(token, said));
    auto near = spawn(is_cut(token, said));
    co_await said.recv();
    co_await said.recv();
    auto by = spawn_on(w.rt, 1, [](shared_token of) -> task<> {
      of.cancel();
      co_return;
    }(token));
    const auto& here = co_await near.join();
    CHECK(here.value());
    auto there = co_await far.join();
    CHECK(there.value());
    auto done = co_await by.join();
    CHECK(done.returned());
    const bool cut = co_await is_cut(token, said);  // which never begins
    CHECK(cut);
    CHECK(said.stats().sends == 2);
    const auto value = co_await with_token(shared_token(), value_of(7));
    CHECK(value == 7);
  });
}

TEST_CASE("SEL-05: a token that loses a select keeps no place", "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_token token;
    for (int i = 0; i < 10; ++i) {
      const auto got = co_await select(token.wait_op(), sleep_op(1ms));
      CHECK(got.index() == 1);
    }
    token.cancel();
    const auto got = co_await select(token.wait_op(), sleep_op(1ms));
    CHECK(got.index() == 0);
  });
}

TEST_CASE("CAN-32: tokens cancelled on both workers at once, while tasks come and go, reach everybody", "[shared_token]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    for (int round = 0; round < 100; ++round) {
      const shared_token root;
      const auto cancel_it = [](shared_token token) -> task<> {
        token.cancel("done");
        co_return;
      };
      std::vector<remote_task<std::string>> waiting;
      for (int i = 0; i < 8; ++i)
        waiting.push_back(spawn_on(w.rt, i % 2 ? 1 : 0, wait_for(i % 4 < 2 ? root.child() : root)));
      auto one = spawn_on(w.rt, 1, cancel_it(root));
      auto two = spawn_on(w.rt, 0, cancel_it(root));
      for (auto& each : waiting) {
        auto end = co_await each.join();
        REQUIRE(end.value() == "done");
      }
      auto done = co_await one.join();
      auto done_too = co_await two.join();
      REQUIRE((done.returned() && done_too.returned()));
    }
  });
}

TEST_CASE("DLK-07: a wait for a token that nobody cancels is a deadlock", "[shared_token]") {
  world w(two_workers());
  const auto end = w.end_of([]() -> task<> { co_await shared_token().wait(); });
  CHECK(end.failed());
  CHECK(w.stalls.size() == 1);
}

TEST_CASE("CAN-27: a chain of a hundred thousand tokens is cancelled and dropped without a deep stack", "[shared_token]") {
  const shared_token root;
  shared_token last = root;
  for (int i = 0; i < 100'000; ++i) last = last.child();
  root.cancel("all");
  CHECK(last.reason() == "all");
}
