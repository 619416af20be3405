// oneshot<T>: one value, sent once.
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <perilune/oneshot.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using perilune::test::world;
using namespace std::chrono_literals;

namespace {

// Counts how many of it hold a value.
struct counted_value {
  static inline int alive = 0;
  explicit counted_value(int n) : number(n) { ++alive; }
  counted_value(counted_value&& other) noexcept : number(other.number) { ++alive; }
  counted_value& operator=(counted_value&&) = default;
  ~counted_value() { --alive; }
  int number;
};

task<std::optional<int>> receive(oneshot<int> from) { co_return co_await from.recv(); }

task<bool> wait_for_end(oneshot<int> of) {
  co_await of.wait_closed();
  co_return true;
}

}  // namespace

TEST_CASE("ONE-01: a second send is misuse") {
  world w;
  const auto text = w.run([]() -> task<std::string> {
    oneshot<int> cell;
    CHECK(cell.send(1));
    std::string refused;
    try {
      cell.send(2);
    } catch (const task_error& e) {
      refused = e.what();
    }
    const auto got = co_await cell.recv();
    CHECK(got == 1);
    co_return refused;
  });
  CHECK(text == "this oneshot has its value: it is sent once");
}

TEST_CASE("ONE-02: closed without a value, recv ends") {
  world w;
  w.run([]() -> task<> {
    oneshot<int> cell;
    auto waiting = spawn(receive(cell));
    co_await yield();
    cell.close();
    const auto& before = co_await waiting.join();
    CHECK(before.value() == std::nullopt);
    const auto after = co_await cell.recv();
    CHECK_FALSE(after);
  });
}

TEST_CASE("ONE-03: the receiver is gone: the value comes back") {
  world w;
  w.run([]() -> task<> {
    oneshot<std::unique_ptr<int>> cell;
    cell.close();
    auto refused = cell.send(std::make_unique<int>(7));
    CHECK(refused.status == channel_status::closed);
    CHECK(**refused.value == 7);
    co_return;
  });
}

TEST_CASE("ONE-05: recv that loses a select can be tried again") {
  world w;
  w.run([]() -> task<> {
    oneshot<int> cell;
    const auto lost = co_await select(cell.recv_op(), sleep_op(1s));
    CHECK(lost.index() == 1);
    CHECK(cell.stats().waiting_receivers == 0);
    cell.send(5);
    const auto won = co_await select(cell.recv_op(), sleep_op(1s));
    CHECK(std::get<0>(won) == 5);
  });
}

TEST_CASE("ONE-06: whoever works on the value sees that nobody waits for it") {
  world w;
  w.run([]() -> task<> {
    oneshot<int> given_up, received;
    auto first = spawn(wait_for_end(given_up));
    auto second = spawn(wait_for_end(received));
    received.send(1);
    co_await yield();
    CHECK(first.state() == task_state::waiting);
    CHECK(second.state() == task_state::waiting);
    given_up.close();
    co_await received.recv();
    const auto& one = co_await first.join();
    const auto& two = co_await second.join();
    CHECK((one.value() && two.value()));
  });
}

TEST_CASE("ONE-07: the value is destroyed exactly once, wherever it was left") {
  for (int where = 0; where < 4; ++where) {
    world w;
    w.run([where]() -> task<> {
      auto cell = std::make_optional<oneshot<counted_value>>();
      auto receiver = spawn([](oneshot<counted_value> from) -> task<> { co_await from.recv(); }(*cell));
      if (where > 0) co_await yield();
      if (where > 1) cell->send(counted_value(1));
      if (where > 2) co_await receiver.join();
      receiver.cancel();
      cell.reset();
      co_await receiver.join();
    });
    CHECK(counted_value::alive == 0);
  }
}

TEST_CASE("CAN-32: random operations and cancels agree with a model of a oneshot") {
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    world w;
    w.run([seed]() -> task<> {
      std::mt19937 random(seed);
      oneshot<int> cell;
      std::vector<task_handle<std::optional<int>>> receivers;
      for (int i = 0; i < 4; ++i) receivers.push_back(spawn(receive(cell)));
      co_await yield();
      const bool sends = random() % 4 != 0;
      if (sends) cell.send(1);
      std::size_t alive = receivers.size();
      for (auto& r : receivers)
        if (random() % 3 == 0) r.cancel(), --alive;
      cell.close();
      std::size_t values = 0, ends = 0;
      for (auto& r : receivers) {
        const auto& end = co_await r.join();
        if (end.returned()) ++(end.value() ? values : ends);
      }
      CHECK(values == (sends && alive > 0 ? 1U : 0U));
      CHECK(values + ends == alive);
      const auto left = co_await cell.recv();
      CHECK(left.has_value() == (sends && alive == 0));
    });
  }
}
