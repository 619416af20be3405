// No value and no waiter is lost or doubled, whatever is cancelled when: random programs of senders, receivers and
// selects over channels of every small capacity, cancelled at each suspension point in turn and at random.
#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/clock.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include "support/catch.hpp"

using namespace perilune;

namespace {

struct value {
  int producer;
  int number;
};

// What the tasks of one program leave behind, seen from outside.
struct ledger {
  std::vector<value> received;
  std::vector<channel<value>> channels;
  int live_frames = 0;
};

struct frame_count {
  explicit frame_count(ledger& l) : book(l) { ++book.live_frames; }
  ~frame_count() { --book.live_frames; }
  frame_count(const frame_count&) = delete;
  frame_count& operator=(const frame_count&) = delete;
  ledger& book;
};

task<void> produce(ledger& book, int producer, channel<value> first, channel<value> second, std::uint32_t pattern) {
  frame_count counted(book);
  for (int n = 0; n < 6; ++n) {
    if ((pattern >> n) & 1U)
      co_await select(first.send_op({producer, n}), sleep_op(std::chrono::hours(1)));
    else
      co_await second.send({producer, n});
    if ((pattern >> (n + 8)) & 1U) co_await yield();
  }
}

task<void> consume(ledger& book, channel<value> first, channel<value> second, std::uint32_t pattern) {
  frame_count counted(book);
  for (int n = 0; n < 8; ++n) {
    if ((pattern >> n) & 1U) {
      auto got = co_await select(first.recv_op(), second.recv_op());
      auto& taken = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
      if (taken) book.received.push_back(*taken);
    } else if (auto taken = co_await first.recv()) {
      book.received.push_back(*taken);
    }
    if ((pattern >> (n + 8)) & 1U) co_await yield();
  }
}

// Runs one program; `cancels` says after how many turns which task is cancelled. Returns how many turns there were.
struct program {
  std::uint64_t seed;
  std::map<int, std::vector<std::size_t>> cancels;
  ledger book;
  int turns = 0;

  task<void> drive() {
    std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
    for (int i = 0; i < 3; ++i) book.channels.emplace_back(random() % 4);
    const auto pick = [&] { return book.channels[random() % book.channels.size()]; };
    std::vector<task_handle<void>> tasks;
    for (int i = 0; i < 4; ++i)
      tasks.push_back(spawn(produce(book, i, pick(), pick(), static_cast<std::uint32_t>(random()))));
    for (int i = 0; i < 4; ++i)
      tasks.push_back(spawn(consume(book, pick(), pick(), static_cast<std::uint32_t>(random()))));
    for (int quiet = 0; quiet < 4;) {
      ++turns;
      if (auto due = cancels.find(turns); due != cancels.end())
        for (std::size_t index : due->second) tasks[index % tasks.size()].cancel();
      const std::size_t before = book.received.size();
      co_await yield();
      quiet = book.received.size() == before ? quiet + 1 : 0;
    }
    for (auto& t : tasks) t.cancel();
    for (auto& t : tasks) co_await t.join();
  }
};

void check_conserved(program& p) {
  virtual_clock time;
  runtime_options options;
  options.time = &time;
  options.seed = p.seed + 1;
  runtime rt(options);
  REQUIRE(rt.run(p.drive()).returned());
  CHECK(p.book.live_frames == 0);

  std::uint64_t accepted = 0;
  std::vector<value> all = p.book.received;
  for (auto& c : p.book.channels) {
    const channel_stats stats = c.stats();
    accepted += stats.sends;
    CHECK(stats.waiting_receivers == 0);
    CHECK(stats.waiting_senders == 0);
    CHECK(stats.recvs + stats.length == stats.sends);
    scheduler::entered on_worker(rt.worker_scheduler(0));
    for (auto left = c.try_recv(); left.second; left = c.try_recv()) all.push_back(*left.second);
  }
  CHECK(all.size() == accepted);
  std::set<std::pair<int, int>> distinct;
  for (const value& v : all) distinct.insert({v.producer, v.number});
  CHECK(distinct.size() == all.size());
}

}  // namespace

TEST_CASE("CAN-32: a cancel at any suspension point loses and doubles no value") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    program untouched{seed, {}, {}};
    check_conserved(untouched);
    for (int turn = 1; turn <= untouched.turns; ++turn)
      for (std::size_t victim = 0; victim < 8; ++victim) {
        program cancelled{seed, {{turn, {victim}}}, {}};
        check_conserved(cancelled);
      }
  }
}

TEST_CASE("CAN-32: many cancels at random moments lose and double no value") {
  std::mt19937 random(99);
  for (std::uint64_t seed = 100; seed < 700; ++seed) {
    program cancelled{seed, {}, {}};
    for (int n = 0; n < 6; ++n) cancelled.cancels[static_cast<int>(random() % 12) + 1].push_back(random() % 8);
    check_conserved(cancelled);
  }
}

TEST_CASE("CHN-20: values given back return to the head in the order in which they were sent") {
  virtual_clock time;
  runtime_options options;
  options.time = &time;
  runtime rt(options);
  std::vector<int> order{0, 1, 2, 3};
  do {
    const auto end = rt.run([](std::vector<int> cancel_order) -> task<std::vector<int>> {
      channel<int> pipe(8);
      std::vector<task_handle<void>> receivers;
      for (int i = 0; i < 4; ++i)
        receivers.push_back(spawn([](channel<int> from) -> task<void> { co_await from.recv(); }(pipe)));
      co_await yield();
      for (int i = 0; i < 4; ++i) co_await pipe.send(i);
      for (int i : cancel_order) receivers[static_cast<std::size_t>(i)].cancel();
      for (auto& r : receivers) co_await r.join();
      std::vector<int> taken;
      for (auto v = pipe.try_recv(); v.second; v = pipe.try_recv()) taken.push_back(*v.second);
      co_return taken;
    }(order));
    REQUIRE(end.returned());
    CHECK(end.value() == std::vector<int>{0, 1, 2, 3});
  } while (std::next_permutation(order.begin(), order.end()));
}
