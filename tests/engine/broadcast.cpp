// broadcast<T>: every value to every receiver, lag told exactly.
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <perilune/broadcast.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using perilune::test::world;
using namespace std::chrono_literals;

namespace {

// What a receiver got: "7", "lagged 3" or "end".
std::string text_of(const broadcast_value<int>& got) {
  if (got) return std::to_string(*got.value);
  return got.lagged ? "lagged " + std::to_string(got.lagged) : "end";
}

task<std::string> next(broadcast_receiver<int> from) { co_return text_of(co_await from.recv()); }

task<std::string> next_now(broadcast_receiver<int> from) {
  const auto got = co_await select_biased(from.recv_op(), sleep_op(0s));
  co_return got.index() == 0 ? text_of(std::get<0>(got)) : "nothing";
}

task<std::string> all_now(broadcast_receiver<int> from) {
  std::string all;
  for (std::string one; one != "nothing" && one != "end"; all += (all.empty() ? "" : " ") + one)
    one = co_await next_now(from);
  co_return all;
}

// A value whose copy may throw.
struct fragile {
  int number = 0;
  static inline int copies_left = 0;
  static inline int alive = 0;
  explicit fragile(int n) : number(n) { ++alive; }
  fragile(const fragile& other) : number(other.number) {
    if (copies_left-- == 0) throw std::runtime_error("cannot be copied");
    ++alive;
  }
  fragile(fragile&& other) noexcept : number(other.number) { ++alive; }
  fragile& operator=(const fragile&) = delete;
  ~fragile() { --alive; }
};

}  // namespace

TEST_CASE("BRO-01: each subscriber gets what was sent after it subscribed") {
  world w;
  w.run([]() -> task<> {
    const broadcast<int> b(8);
    std::vector<broadcast_receiver<int>> receivers;
    for (int i = 1; i <= 3; ++i) {
      receivers.push_back(b.subscribe());
      CHECK(b.send(i).subscribers == static_cast<std::size_t>(i));
    }
    b.close();
    const std::vector<std::string> expected{"1 2 3 end", "2 3 end", "3 end"};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string got = co_await all_now(receivers[i]);
      CHECK(got == expected[i]);
    }
  });
}

TEST_CASE("BRO-02, BRO-04: lag is exact for every capacity") {
  for (std::size_t capacity = 1; capacity < 9; ++capacity)
    for (int sent = 0; sent < 20; ++sent) {
      world w;
      w.run([=]() -> task<> {
        const broadcast<int> b(capacity);
        const auto slow = b.subscribe();
        for (int i = 1; i <= sent; ++i) b.send(i);
        const int lag = sent - static_cast<int>(capacity);
        std::string expected = lag > 0 ? "lagged " + std::to_string(lag) + " " : "";
        for (int i = lag > 0 ? lag + 1 : 1; i <= sent; ++i) expected += std::to_string(i) + " ";
        const std::string got = co_await all_now(slow);
        CHECK(got == expected + "nothing");
        CHECK(slow.stats().lagged == static_cast<std::uint64_t>(lag > 0 ? lag : 0));
      });
    }
}

TEST_CASE("BRO-05: nobody is subscribed: a send is for 0") {
  const broadcast<int> b(1);
  CHECK(b.send(1).subscribers == 0);
  CHECK(b.stats().length == 0);
  CHECK_THROWS_AS(broadcast<int>(0), task_error);
}

TEST_CASE("BRO-06, BRO-08: a closed broadcast ends for old and new receivers") {
  world w;
  w.run([]() -> task<> {
    const broadcast<int> b(4);
    const auto r = b.subscribe();
    b.send(1);
    b.send(2);
    b.close();
    const auto refused = b.send(3);
    CHECK_FALSE(refused);
    CHECK(refused.value == 3);
    const std::string old = co_await all_now(r);
    CHECK(old == "1 2 end");
    const std::string fresh = co_await next(b.subscribe());
    CHECK(fresh == "end");
  });
}

TEST_CASE("BRO-09: what a closed or dropped receiver has not read is released") {
  fragile::copies_left = 100;
  {
    const broadcast<fragile> b(4);
    const auto closed = b.subscribe();
    auto dropped = std::make_optional(b.subscribe());
    for (int i = 0; i < 3; ++i) b.send(fragile(i));
    CHECK(fragile::alive == 3);
    closed.close();
    CHECK(fragile::alive == 3);
    dropped.reset();
    CHECK(fragile::alive == 0);
    CHECK(b.send(fragile(9)).subscribers == 0);
  }
  CHECK(fragile::alive == 0);
}

TEST_CASE("BRO-10: a copy that fails is seen by that subscriber alone") {
  world w;
  w.run([]() -> task<> {
    const broadcast<fragile> b(4);
    const auto first = b.subscribe(), second = b.subscribe();
    b.send(fragile(1));
    b.send(fragile(2));
    fragile::copies_left = 0;
    bool failed = false;
    try {
      co_await first.recv();
    } catch (const std::runtime_error&) {
      failed = true;
    }
    CHECK(failed);
    fragile::copies_left = 100;
    const auto next_of_first = co_await first.recv();
    CHECK(next_of_first.value->number == 2);
    const auto of_second = co_await second.recv();
    CHECK(of_second.value->number == 1);
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("BRO-11, CAN-32: recv that loses or is cancelled takes nothing") {
  world w;
  w.run([]() -> task<> {
    const broadcast<int> b(4);
    const auto r = b.subscribe();
    const auto lost = co_await select(r.recv_op(), sleep_op(1s));
    CHECK(lost.index() == 1);
    auto first = spawn(next(r)), second = spawn(next(r));
    co_await yield();
    b.send(1);
    first.cancel();
    const auto& cancelled = co_await first.join();
    CHECK(cancelled.cancelled());
    const auto& got = co_await second.join();
    CHECK(got.value() == "1");
  });
}

TEST_CASE("BRO-11: two arms on one broadcast take one value") {
  world w;
  w.run([]() -> task<> {
    const broadcast<int> b(4);
    const auto r1 = b.subscribe(), r2 = b.subscribe();
    auto both = spawn([](broadcast_receiver<int> x, broadcast_receiver<int> y) -> task<std::size_t> {
      co_return (co_await select(x.recv_op(), y.recv_op())).index();
    }(r1, r2));
    co_await yield();
    b.send(1);
    const auto& which = co_await both.join();
    const std::string one = co_await next_now(r1), two = co_await next_now(r2);
    CHECK(one == (which.value() == 0 ? "nothing" : "1"));
    CHECK(two == (which.value() == 0 ? "1" : "nothing"));
  });
}

namespace {

// A receiver and its model: all that it was sent and has not read, and how much of that is lost.
struct pair {
  broadcast_receiver<int> real;
  std::deque<int> values{};
  int lost = 0;
  std::vector<task_handle<std::string>> waiting{};

  void sent(int value, std::size_t capacity) {
    values.push_back(value);
    if (values.size() > capacity) values.pop_front(), ++lost;
  }
  std::string take() {
    if (lost) return "lagged " + std::to_string(std::exchange(lost, 0));
    if (values.empty()) return "nothing";
    const int value = values.front();
    values.pop_front();
    return std::to_string(value);
  }
  // Those who waited and have ended took what came, in their order.
  void check_ended() {
    std::erase_if(waiting, [this](const task_handle<std::string>& t) {
      if (t.settled() && t.outcome_now().returned()) CHECK(t.outcome_now().value() == take());
      return t.settled();
    });
  }
};

}  // namespace

TEST_CASE("BRO-02: random operations and cancels agree with a model of a broadcast") {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    world w;
    w.run([seed]() -> task<> {
      std::mt19937 random(seed);
      const std::size_t capacity = 1 + random() % 5;
      const broadcast<int> b(capacity);
      std::vector<pair> pairs;
      for (int i = 0; i < 3; ++i) pairs.push_back({b.subscribe()});
      for (int round = 0, number = 0; round < 40; ++round) {
        pair& one = pairs[random() % pairs.size()];
        for (auto i = random() % 3; i; --i) one.waiting.push_back(spawn(next(one.real)));
        co_await yield();
        for (auto& p : pairs) p.check_ended();
        for (auto i = random() % 7; i; --i) {
          CHECK(b.send(++number).subscribers == pairs.size());
          for (auto& p : pairs) p.sent(number, capacity);
        }
        for (auto& p : pairs) {
          for (auto& t : p.waiting)
            if (random() % 3 == 0) t.cancel();
        }
        co_await yield();
        for (auto& p : pairs) {
          p.check_ended();
          CHECK(p.real.stats().waiting_receivers == p.waiting.size());
          if (p.waiting.empty() && random() % 2 == 0) {
            const std::string got = co_await next_now(p.real);
            CHECK(got == p.take());
          }
          CHECK(p.real.stats().length == p.values.size());
        }
      }
      for (auto& p : pairs)
        for (auto& t : p.waiting) t.cancel();
    });
  }
}
