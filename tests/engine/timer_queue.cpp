// The timer queue against what it promises: the order, the bounds and the costs in timer_queue.hpp.
#include "timer_queue.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

using perilune::timer_node;
using perilune::detail::timer_queue;

namespace {

constexpr std::uint64_t never = timer_queue::never;
constexpr std::uint64_t second = 1'000'000'000;

std::vector<std::uint32_t> drain(timer_queue& timers, std::uint64_t now) {
  std::vector<std::uint32_t> stamps;
  while (timer_node* node = timers.pop_due(now)) stamps.push_back(node->stamp);
  return stamps;
}

std::vector<timer_node> stamped(std::size_t count) {
  std::vector<timer_node> nodes(count);
  for (std::size_t i = 0; i < count; ++i) nodes[i].stamp = static_cast<std::uint32_t>(i);
  return nodes;
}

using random_source = std::mt19937_64;

std::uint64_t below(random_source& random, std::uint64_t limit) { return random() % limit; }

// The wheel beside a std::multimap, which keeps equal keys in insertion order; every answer is compared.
class model {
 public:
  model(std::uint64_t start, std::size_t capacity) : wheel_(start), reached_(start), nodes_(capacity) {
    for (timer_node& node : nodes_) free_.push_back(&node);
  }

  [[nodiscard]] std::uint64_t reached() const { return reached_; }
  [[nodiscard]] bool full() const { return free_.empty(); }

  void insert(std::uint64_t deadline) {
    timer_node& node = *free_.front();
    free_.pop_front();
    wheel_.insert(node, deadline);
    const std::uint64_t counted = std::max(deadline, reached_);
    REQUIRE(node.deadline == counted);
    places_[&node] = order_.emplace(counted, &node);
    compare_bounds();
  }

  void erase_one(random_source& random) {
    if (places_.empty()) return;
    auto victim = places_.begin();
    std::advance(victim, static_cast<std::ptrdiff_t>(below(random, std::min<std::size_t>(places_.size(), 64))));
    wheel_.erase(*victim->first);
    release(victim->second);
    compare_bounds();
  }

  void pop(std::uint64_t now) {
    const auto due = order_.begin();
    timer_node* const popped = wheel_.pop_due(now);
    if (due == order_.end() || due->first == never || due->first > now) {
      REQUIRE(popped == nullptr);
      reached_ = std::max(reached_, now);
    } else {
      REQUIRE(popped == due->second);
      REQUIRE_FALSE(popped->linked());
      reached_ = due->first;
      release(due);
    }
    compare_bounds();
  }

  void drain(std::uint64_t now) {
    while (!order_.empty() && order_.begin()->first != never && order_.begin()->first <= now) pop(now);
    pop(now);
    const auto wake = wheel_.next_wake();
    REQUIRE((!wake || *wake > now));
  }

  void jump_until_empty() {
    while (const auto deadline = wheel_.next_deadline()) pop(*deadline);
    while (!order_.empty()) {
      wheel_.erase(*order_.begin()->second);
      release(order_.begin());
    }
    REQUIRE(wheel_.empty());
  }

 private:
  using order = std::multimap<std::uint64_t, timer_node*>;

  void release(order::iterator place) {
    free_.push_back(place->second);
    places_.erase(place->second);
    order_.erase(place);
  }

  void compare_bounds() const {
    REQUIRE(wheel_.size() == order_.size());
    REQUIRE(wheel_.empty() == order_.empty());
    const auto wake = wheel_.next_wake();
    if (order_.empty() || order_.begin()->first == never) {
      REQUIRE_FALSE(wheel_.next_deadline().has_value());
      REQUIRE_FALSE(wake.has_value());
      return;
    }
    const std::uint64_t minimum = order_.begin()->first;
    REQUIRE(wake.has_value());
    REQUIRE(*wake <= minimum);
    REQUIRE((*wake > reached_ || minimum == reached_));
    if (++questions_ % 3 == 0) REQUIRE(wheel_.next_deadline() == minimum);
  }

  timer_queue wheel_;
  std::uint64_t reached_;
  std::vector<timer_node> nodes_;
  std::deque<timer_node*> free_;
  order order_;
  std::map<timer_node*, order::iterator> places_;
  mutable unsigned questions_ = 0;
};

using shape = std::function<std::uint64_t(random_source&, std::uint64_t now)>;

const std::map<std::string, shape>& shapes() {
  static const std::map<std::string, shape> all{
      {"near", [](random_source& random, std::uint64_t now) { return now + below(random, 600); }},
      {"far", [](random_source& random, std::uint64_t now) { return now + below(random, 3600 * second); }},
      {"any magnitude",
       [](random_source& random, std::uint64_t now) { return now + (random() >> (1 + below(random, 62))) / 2; }},
      {"few distinct",
       [](random_source& random, std::uint64_t now) { return (now / 100'000 + below(random, 4)) * 100'000; }},
      {"descending", [](random_source&, std::uint64_t now) { return (now / second + 1) * second - now % 65'536; }},
      {"one slot",
       [](random_source& random, std::uint64_t now) { return ((now >> 24) + 1) * 16'777'216 + below(random, 3); }},
      {"past and never",
       [](random_source& random, std::uint64_t now) {
         return below(random, 5) == 0 ? never : now - std::min(now, below(random, 1000)) + below(random, 900);
       }},
  };
  return all;
}

}  // namespace

TEST_CASE("TIM-03: a timer is due at its deadline and not a nanosecond before", "[timer_queue]") {
  const std::uint64_t waits[] = {1, 255, 256, 257, 65'535, 65'536, 16'777'217, 1ULL << 32, 1ULL << 61};
  const std::uint64_t starts[] = {0, 255, 256, 0xff'ffff'ff, 1'234'567'890'123};
  for (const std::uint64_t wait : waits) {
    for (const std::uint64_t start : starts) {
      timer_queue timers(start);
      timer_node node;
      timers.insert(node, start + wait);
      CHECK(timers.pop_due(start) == nullptr);
      CHECK(timers.pop_due(start + wait - 1) == nullptr);
      CHECK(node.linked());
      CHECK(timers.next_deadline() == start + wait);
      CHECK(timers.pop_due(start + wait) == &node);
      CHECK_FALSE(node.linked());
      CHECK(timers.empty());
    }
  }
}

TEST_CASE("TIM-03: one late look pops everything due in deadline order", "[timer_queue]") {
  timer_queue timers(0);
  auto nodes = stamped(5);
  const std::uint64_t deadlines[] = {900 * second, 3, 70'000, 4, 256};
  for (std::size_t i = 0; i < 5; ++i) timers.insert(nodes[i], deadlines[i]);
  CHECK(drain(timers, 900 * second - 1) == std::vector<std::uint32_t>{1, 3, 4, 2});
  CHECK(drain(timers, 901 * second) == std::vector<std::uint32_t>{0});
}

TEST_CASE("TIM-03: a past deadline is due at once, after what is already due", "[timer_queue]") {
  timer_queue timers(100);
  auto nodes = stamped(4);
  timers.insert(nodes[0], 100);
  timers.insert(nodes[1], 7);
  timers.insert(nodes[2], 3);
  timers.insert(nodes[3], 101);
  CHECK(nodes[2].deadline == 100);
  CHECK(timers.next_deadline() == 100U);
  CHECK(drain(timers, 101) == std::vector<std::uint32_t>{0, 1, 2, 3});
}

TEST_CASE("VIR-08: equal deadlines fire in insertion order, whenever each was inserted", "[timer_queue]") {
  const std::uint64_t deadline = 0x0102'0304'0506'0708;
  timer_queue timers(0);
  auto nodes = stamped(64);
  std::size_t inserted = 0;
  std::vector<std::uint32_t> expected;
  // Each look stops a little nearer to the deadline, so that the earlier nodes have cascaded to every depth in turn.
  for (unsigned bit = 57; bit > 0; --bit) {
    expected.push_back(static_cast<std::uint32_t>(inserted));
    timers.insert(nodes[inserted++], deadline);
    CHECK(timers.pop_due(deadline - (std::uint64_t{1} << (bit - 1))) == nullptr);
  }
  CHECK(drain(timers, deadline) == expected);
}

TEST_CASE("VIR-08: equal deadlines keep their order among neighbours that cascade with them", "[timer_queue]") {
  timer_queue timers(0);
  auto nodes = stamped(300);
  for (std::size_t i = 0; i < 100; ++i) timers.insert(nodes[i], 70'000 + i % 2);
  CHECK(timers.pop_due(65'536) == nullptr);
  for (std::size_t i = 100; i < 200; ++i) timers.insert(nodes[i], 70'000 + i % 2);
  CHECK(timers.pop_due(69'999) == nullptr);
  for (std::size_t i = 200; i < 300; ++i) timers.insert(nodes[i], 70'000 + i % 2);
  std::vector<std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 300; i += 2) expected.push_back(i);
  for (std::uint32_t i = 1; i < 300; i += 2) expected.push_back(i);
  CHECK(drain(timers, 80'000) == expected);
}

TEST_CASE("TIM-02: the deadline that never comes can only be erased", "[timer_queue]") {
  timer_queue timers(0);
  timer_node forever[2];
  timer_node soon;
  timers.insert(forever[0], never);
  timers.insert(forever[1], never);
  CHECK(timers.size() == 2);
  CHECK_FALSE(timers.next_deadline().has_value());
  CHECK_FALSE(timers.next_wake().has_value());
  timers.insert(soon, never - 1);
  CHECK(timers.next_deadline() == never - 1);
  CHECK(timers.pop_due(never) == &soon);
  CHECK(timers.pop_due(never) == nullptr);
  timers.erase(forever[0]);
  timers.erase(forever[1]);
  CHECK(timers.empty());
}

TEST_CASE("TIM-07: a timer armed again fires once, at its new time", "[timer_queue]") {
  timer_queue timers(1000);
  timer_node node;
  for (const std::uint64_t deadline : {5000ULL, 2000ULL, 90'000ULL, 1ULL, 100'000ULL}) {
    if (node.linked()) timers.erase(node);
    timers.insert(node, deadline);
    CHECK(timers.next_deadline() == std::max<std::uint64_t>(deadline, 1000));
  }
  CHECK(timers.size() == 1);
  CHECK(timers.pop_due(99'999) == nullptr);
  CHECK(timers.pop_due(100'000) == &node);
  CHECK(timers.pop_due(200'000) == nullptr);
  timers.insert(node, 150'000);
  CHECK(node.deadline == 200'000);
  CHECK(timers.pop_due(200'000) == &node);
}

TEST_CASE("TIM-07: erasing the earliest uncovers the next", "[timer_queue]") {
  timer_queue timers(0);
  auto nodes = stamped(40);
  for (std::size_t i = 0; i < nodes.size(); ++i) timers.insert(nodes[i], second + i);
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) {
    timers.erase(nodes[i]);
    REQUIRE(timers.next_wake().value() <= second + i + 1);
    REQUIRE(timers.next_deadline() == second + i + 1);
    REQUIRE(timers.next_wake() == second + i + 1);
  }
}

TEST_CASE("TIM-03: time that goes back makes nothing due and loses nothing", "[timer_queue]") {
  timer_queue timers(0);
  timer_node node;
  CHECK(timers.pop_due(500) == nullptr);
  timers.insert(node, 600);
  CHECK(timers.pop_due(100) == nullptr);
  CHECK(timers.pop_due(0) == nullptr);
  CHECK(timers.pop_due(600) == &node);
}

TEST_CASE("VIR-01: jumping from deadline to deadline visits each exactly", "[timer_queue]") {
  timer_queue timers(0);
  auto nodes = stamped(1000);
  for (std::size_t i = 0; i < nodes.size(); ++i) timers.insert(nodes[i], (i * 7919 % 1000 + 1) * 86'400 * second);
  std::uint64_t now = 0;
  for (std::uint64_t day = 1; day <= nodes.size(); ++day) {
    now = timers.next_deadline().value();
    REQUIRE(now == day * 86'400 * second);
    REQUIRE(timers.pop_due(now)->deadline == now);
    REQUIRE(timers.pop_due(now) == nullptr);
  }
  CHECK(timers.empty());
}

TEST_CASE("TIM-03: waiting for next_wake reaches every deadline in a few looks", "[timer_queue]") {
  timer_queue timers(0);
  auto nodes = stamped(1000);
  for (std::size_t i = 0; i < nodes.size(); ++i) timers.insert(nodes[i], 3600 * second + i);
  timers.erase(nodes[0]);
  unsigned looks = 0;
  std::size_t popped = 0;
  while (const auto wake = timers.next_wake()) {
    ++looks;
    while (const timer_node* node = timers.pop_due(*wake)) {
      ++popped;
      REQUIRE(node->deadline == *wake);
    }
  }
  CHECK(popped == 999);
  CHECK(looks <= 999 + 8 + 4);
}

TEST_CASE("TIM-03: hostile shapes cost no more than their size", "[timer_queue]") {
  // A quadratic step anywhere would make this test run for minutes.
  constexpr std::size_t count = 200'000;
  auto nodes = stamped(count);
  const auto deadline = [](int form, std::uint64_t i) -> std::uint64_t {
    if (form == 0) return 10 * second + count - i;
    return form == 1 ? 10 * second : (i + 1) * 4'294'967'296;
  };
  for (const int form : {0, 1, 2}) {
    timer_queue timers(0);
    for (std::size_t i = 0; i < count; ++i) timers.insert(nodes[i], deadline(form, i));
    for (std::size_t i = 0; i < count; i += 2) timers.erase(nodes[i]);
    std::uint64_t last = 0;
    std::size_t popped = 0;
    while (const auto next = timers.next_deadline()) {
      const timer_node* const node = timers.pop_due(*next);
      REQUIRE((node != nullptr && node->deadline >= last));
      last = node->deadline;
      ++popped;
    }
    CHECK(popped == count / 2);
  }
}

TEST_CASE("VIR-08: the queue agrees with a sorted model over random histories", "[timer_queue]") {
  for (const auto& [name, deadline] : shapes()) {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
      CAPTURE(name, seed);
      random_source random(seed);
      model both(seed % 2 == 0 ? 0 : below(random, 1ULL << 50), 400);
      for (int step = 0; step < 4000; ++step) {
        const std::uint64_t choice = below(random, 100);
        if (choice < 50 && !both.full()) {
          both.insert(deadline(random, both.reached()));
        } else if (choice < 65) {
          both.erase_one(random);
        } else if (choice < 85) {
          both.pop(both.reached() + below(random, std::uint64_t{1} << below(random, 30)));
        } else if (choice < 88) {
          both.pop(both.reached() / 2);
        } else {
          both.drain(both.reached() + below(random, std::uint64_t{1} << below(random, 36)));
        }
      }
      both.jump_until_empty();
    }
  }
}
