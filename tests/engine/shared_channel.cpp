// Channels, permits and tasks between workers: what crosses, who waits, and that nothing is lost on the way.
#include <perilune/remote.hpp>
#include <perilune/select.hpp>
#include <perilune/shared_channel.hpp>
#include <perilune/shared_semaphore.hpp>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

runtime_options two_workers() {
  runtime_options options;
  options.workers = 2;
  return options;
}

task<> count_up(shared_channel<int> out, int n) {
  for (int i = 0; i < n; ++i) co_await out.send(i);
}

task<long> add_all(shared_channel<std::unique_ptr<int>> in) {
  long sum = 0;
  for (;;) {
    const auto got = co_await in.recv();
    if (!got) co_return sum;
    sum += **got;
  }
}

}  // namespace

TEST_CASE("SND-06: spawn_on runs a task on its worker, and its outcome comes back", "[shared_channel]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const auto where = []() -> task<std::thread::id> {
      co_await sleep(1ms);
      co_return std::this_thread::get_id();
    };
    auto one = spawn_on(w.rt, 1, where()), two = spawn_on(w.rt, 0, where());
    auto there = co_await one.join();
    auto here = co_await two.join();
    CHECK(here.value() == std::this_thread::get_id());
    CHECK(there.value() != here.value());
    auto failing = spawn_on(w.rt, 1, fail("bad disk"), "far");
    auto failed = co_await failing.join();
    CHECK(failed.failed());
    CHECK(text_of(failed.exception()) == "std::runtime_error: bad disk");
  });
  CHECK(w.unobserved.empty());
}

TEST_CASE("CAN-08: a cancellation crosses to the other worker, and destructors run there", "[shared_channel]") {
  world w(two_workers());
  trace seen;
  w.run([&]() -> task<> {
    auto far = spawn_on(w.rt, 1, sleep_until_ended(seen, "ended"));
    co_await sleep(1ms);
    CHECK_FALSE(far.settled());
    far.cancel("enough");
    auto end = co_await far.join();
    CHECK(end.cancelled());
    CHECK(end.reason()->text == "enough");
    CHECK(seen == trace{"ended"});
  });
}

TEST_CASE("CHN-29: values move between workers, each once and in order", "[shared_channel]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_channel<int> ch(4);
    auto far = spawn_on(w.rt, 1, count_up(ch, 1000));
    for (int i = 0; i < 1000; ++i) {
      const auto got = co_await ch.recv();
      REQUIRE(got == i);
    }
    auto done = co_await far.join();
    CHECK(done.returned());
    const channel_stats stats = ch.stats();
    CHECK(stats.sends == 1000);
    CHECK(stats.recvs == 1000);
    CHECK(stats.length == 0);

    const shared_channel<std::unique_ptr<int>> owned(0);
    auto sum = spawn_on(w.rt, 1, add_all(owned));
    for (int i = 1; i <= 100; ++i) co_await owned.send(std::make_unique<int>(i));
    owned.close();
    auto end = co_await sum.join();
    CHECK(std::move(end).unwrap() == 5050);
    const auto refused = co_await owned.send(std::make_unique<int>(7));
    CHECK(refused.status == channel_status::closed);
    CHECK(**refused.value == 7);
  });
}

TEST_CASE("SEL-05, SEL-07: lost arms of shared channels leave nothing behind", "[shared_channel]") {
  world w(two_workers());
  w.run([&]() -> task<> {
    const shared_channel<int> ch(0);
    const shared_semaphore sem(1);
    auto permit = sem.try_acquire();
    for (int i = 0; i < 10; ++i) {
      const auto got = co_await select(ch.recv_op(), ch.send_op(1), sem.acquire_op(), sleep_op(1ms));
      CHECK(got.index() == 3);
    }
    CHECK(ch.stats().waiting_receivers == 0);
    CHECK(ch.stats().waiting_senders == 0);
    CHECK(sem.waiting() == 0);
    CHECK(sem.available() == 0);
    permit->release();
    CHECK(sem.available() == 1);
  });
}

TEST_CASE("SEM-01, SEM-11: permits go from worker to worker in order, and never too many are asked for",
          "[shared_channel]") {
  world w(two_workers());
  const shared_semaphore sem(2);
  const shared_channel<int> order(8);
  w.run([&]() -> task<> {
    const auto take = [](shared_semaphore from, shared_channel<int> log, int me, std::size_t permits) -> task<> {
      const auto held = co_await from.acquire(permits);
      co_await log.send(me);
      co_await sleep(1ms);
    };
    auto both = sem.try_acquire(2);
    std::vector<remote_task<void>> all;
    for (int i = 0; i < 4; ++i) {
      all.push_back(spawn_on(w.rt, i % 2 ? 1 : 0, take(sem, order, i, i == 1 ? 2 : 1)));
      while (sem.waiting() != static_cast<std::size_t>(i) + 1) co_await yield();
    }
    both->release();
    std::vector<int> seen;
    for (int i = 0; i < 4; ++i) {
      const auto got = co_await order.recv();
      seen.push_back(*got);
    }
    // The last two have their permits at once, on two workers.
    std::sort(seen.begin() + 2, seen.end());
    CHECK(seen == std::vector{0, 1, 2, 3});
    for (auto& each : all) {
      auto done = co_await each.join();
      CHECK(done.returned());
    }
    CHECK(sem.available() == 2);
    auto asks = spawn([](shared_semaphore from) -> task<> { co_await from.acquire(3); }(sem));
    const auto& refused = co_await asks.join();
    CHECK(refused.failed());
    sem.close();
    const auto closed = co_await sem.acquire();
    CHECK_FALSE(closed);
  });
}

TEST_CASE("CAN-32: random cancels on both workers lose and double nothing", "[shared_channel]") {
  world w(two_workers());
  constexpr int count = 400;
  w.run([&]() -> task<> {
    const shared_channel<int> ch(2);
    const auto send_all = [](shared_channel<int> out) -> task<> {
      for (int i = 0; i < count; ++i) {
        bool sent = false;
        while (!sent) {
          const auto got = co_await select(out.send_op(i), sleep_op(std::chrono::microseconds(i % 7 + 1)));
          sent = got.index() == 0;
        }
      }
      out.close();
    };
    auto far = spawn_on(w.rt, 1, send_all(ch));
    std::vector<int> seen(count);
    for (bool open = true; open;) {
      auto one = spawn([](shared_channel<int> in) -> task<std::optional<int>> { co_return co_await in.recv(); }(ch));
      co_await sleep(1us);
      one.cancel();
      const auto& end = co_await one.join();
      if (!end.returned()) continue;
      const std::optional<int> got = end.value();
      open = got.has_value();
      if (got) ++seen[static_cast<std::size_t>(*got)];
    }
    auto done = co_await far.join();
    CHECK(done.returned());
    CHECK(seen == std::vector<int>(count, 1));
    CHECK(ch.stats().sends == ch.stats().recvs);
  });
}

TEST_CASE("DLK-07: a wait between workers that nobody can end is a deadlock", "[shared_channel]") {
  world w(two_workers());
  const auto end = w.end_of([]() -> task<> {
    const shared_channel<int> ch(0);
    co_await ch.recv();
  });
  CHECK(end.failed());
  CHECK(w.stalls.size() == 1);
}

TEST_CASE("CHN-27: a thread that runs no tasks spawns on a worker and waits for the end", "[shared_channel]") {
  world w(two_workers());
  std::thread outside;
  w.run([&]() -> task<> {
    const shared_channel<int> answer(1);
    outside = std::thread([&rt = w.rt, answer] {
      auto far = spawn_on(rt, 1, value_of(20));
      answer.try_send(far.wait().unwrap() + 1);
    });
    std::optional<int> got;
    while (!got) {
      got = answer.try_recv().second;
      co_await yield();
    }
    CHECK(got == 21);
  });
  outside.join();
}
