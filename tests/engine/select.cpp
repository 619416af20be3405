// select in C++: which arm is taken, what the others keep, and that nobody starves. See channel.cpp for what arms leave behind.
#include <array>
#include <utility>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

constexpr int rounds = 10'000;

// How often each of two channels that always have a value is taken.
template <class Choose>
std::array<int, 2> shares(std::uint64_t seed, Choose choose, std::vector<std::size_t>* order = nullptr) {
  runtime_options options;
  options.seed = seed;
  world w(options);
  std::array<int, 2> taken{};
  w.run([&]() -> task<> {
    const channel<int> a(1), b(1);
    CHECK(a.try_send(1));
    CHECK(b.try_send(1));
    for (int i = 0; i < rounds; ++i) {
      const auto got = co_await choose(a.recv_op(), b.recv_op());
      ++taken[got.index()];
      if (order) order->push_back(got.index());
      static_cast<void>((got.index() == 0 ? a : b).try_send(1));
    }
  });
  return taken;
}

constexpr auto uniformly = [](auto... ops) { return select(std::move(ops)...); };
constexpr auto in_order = [](auto... ops) { return select_biased(std::move(ops)...); };

task<std::size_t> first_of(channel<int> a, channel<int> b) {
  const auto got = co_await select(a.recv_op(), b.recv_op());
  co_return got.index();
}

template <std::size_t... Arms>
auto select_all(const std::vector<channel<int>>& from, std::index_sequence<Arms...>) {
  return select(from[Arms].recv_op()...);
}

}  // namespace

TEST_CASE("SEL-02: of two arms that are always ready each gets its share") {
  const auto taken = shares(1, uniformly);
  CHECK(taken[0] + taken[1] == rounds);
  CHECK(taken[0] >= rounds / 4);
  CHECK(taken[1] >= rounds / 4);
}

TEST_CASE("SEL-04: biased, the first listed is always taken") { CHECK(shares(1, in_order) == std::array{rounds, 0}); }

TEST_CASE("SEL-08: two arms become ready before the task resumes: the first wins, the other value stays") {
  world w;
  w.run([]() -> task<> {
    const channel<int> a(1), b(1);
    auto chooser = spawn(first_of(a, b));
    co_await yield();
    CHECK(b.try_send(2));
    CHECK(a.try_send(1));
    const auto& end = co_await chooser.join();
    CHECK(end.value() == 1);
    CHECK(b.size() == 0);
    CHECK(a.size() == 1);
  });
}

TEST_CASE("SEL-16: a join that lost a select leaves the outcome for a later join") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ready(1);
    auto slow = spawn([]() -> task<int> {
      co_await sleep(1s);
      co_return 7;
    }());
    CHECK(ready.try_send(1));
    const auto now_ready = co_await select_biased(slow.join_op(), ready.recv_op());
    CHECK(now_ready.index() == 1);
    const auto limited = co_await select(slow.join_op(), sleep_op(500ms));
    CHECK(limited.index() == 1);
    const auto won = co_await select(slow.join_op(), sleep_op(1h));
    REQUIRE(won.index() == 0);
    CHECK(std::get<0>(won).get().value() == 7);
    const auto& end = co_await slow.join();
    CHECK(end.value() == 7);
    CHECK(now() == 1s);
  });
}

TEST_CASE("SEL-19: a select that is always ready lets the others run") {
  world w;
  w.run([]() -> task<> {
    const channel<int> always(1);
    int others = 0;
    bool over = false;
    auto other = spawn([](int& count, const bool& until) -> task<> {
      while (true) {
        if (until) co_return;
        co_await yield();
        ++count;
      }
    }(others, over));
    for (int i = 0; i < 101 * scheduler::operation_budget; ++i) {
      CHECK(always.try_send(1));
      co_await select(always.recv_op(), sleep_op(1h));
    }
    over = true;
    co_await other.join();
    CHECK(others >= 100);
    CHECK(now() == 0s);
  });
}

TEST_CASE("SEL-20: the same seed makes the same choices, another one others") {
  std::vector<std::size_t> first, again, other;
  shares(5, uniformly, &first);
  shares(5, uniformly, &again);
  shares(6, uniformly, &other);
  CHECK(first == again);
  CHECK(first != other);
}

TEST_CASE("SEL-21: a select of many arms") {
  world w;
  w.run([]() -> task<> {
    std::vector<channel<int>> all;
    for (int i = 0; i < 24; ++i) all.emplace_back(0);
    auto chooser = spawn([](const std::vector<channel<int>>& from) -> task<std::size_t> {
      const auto got = co_await select_all(from, std::make_index_sequence<24>());
      co_return got.index();
    }(all));
    co_await yield();
    CHECK(all[17].try_send(1));
    const auto& end = co_await chooser.join();
    CHECK(end.value() == 17);
    for (const channel<int>& each : all) CHECK(each.stats().waiting_receivers == 0);
  });
}
