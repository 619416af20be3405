// Random waiters, signals and cancels on notify, barrier, wait_group and once in C++, each against a model of a few lines.
// Several actions come between two turns, so that tasks are cancelled before they start, while they wait, and between grant
// and resume.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/select.hpp>
#include <perilune/sync.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

using results = std::map<int, int>;
using ids = std::vector<int>;

// Removes an id; whether it was there.
bool remove(ids& from, int id) { return std::erase(from, id) != 0; }

// What all models have: who has been spawned and not started, who waits, and who was granted and has not resumed. A task
// that is done has got `result`.
class model {
 public:
  virtual ~model() = default;

  void start(int id) { fresh_.push_back(id); }
  void cancel(int id) {
    if (!remove(fresh_, id) && !remove(queue, id) && remove(granted, id)) given_back(id);
  }
  // Any that has not ended, or 0.
  int any(std::mt19937& random) const {
    ids all = fresh_;
    all.insert(all.end(), queue.begin(), queue.end());
    all.insert(all.end(), granted.begin(), granted.end());
    return all.empty() ? 0 : all[random() % all.size()];
  }
  void let_run() {
    resume();
    for (const int id : std::exchange(fresh_, {})) begin(id);
    resume();
  }

  results got;

 protected:
  virtual void begin(int id) = 0;
  virtual void given_back(int) {}
  void grant_all() { granted.insert(granted.end(), queue.begin(), queue.end()), queue.clear(); }

  ids queue, granted;

 private:
  void resume() {
    for (const int id : std::exchange(granted, {})) got[id] = 1;
  }
  ids fresh_;
};

class notify_model final : public model {
 public:
  void one() {
    if (queue.empty()) return void(stored_ = true);
    granted.push_back(queue.front());
    to_one_.push_back(queue.front());
    queue.erase(queue.begin());
  }
  void all() { grant_all(); }

 private:
  void begin(int id) override {
    if (!std::exchange(stored_, false)) return queue.push_back(id);
    got[id] = 1;
  }
  void given_back(int id) override {
    if (remove(to_one_, id)) one();
  }
  bool stored_ = false;
  ids to_one_;
};

class barrier_model final : public model {
 public:
  explicit barrier_model(std::size_t parties) : parties_(parties) {}

 private:
  void begin(int id) override {
    if (queue.size() + 1 < parties_) return queue.push_back(id);
    got[id] = 2;
    grant_all();
  }
  std::size_t parties_;
};

class wait_group_model final : public model {
 public:
  int count = 0;
  void done() {
    if (--count == 0) grant_all();
  }

 private:
  void begin(int id) override {
    if (count == 0)
      got[id] = 1;
    else
      queue.push_back(id);
  }
};

task<> wait_once(std::function<task<int>()> wait, results& got, int id) {
  const int result = co_await wait();
  got[id] = result;
}

// Batches of random actions on a thing and its model; after each batch all run until they wait, and both must agree.
task<> compare(std::mt19937& random, model& expected, std::function<task<int>()> wait, std::function<void()> act) {
  results got;
  std::vector<task_handle<void>> tasks(1);
  for (int batch = 0; batch < 60; ++batch) {
    for (auto actions = random() % 4 + 1; actions; --actions) {
      const auto kind = random() % 3;
      if (kind == 0) {
        const int id = static_cast<int>(tasks.size());
        tasks.push_back(spawn(wait_once(wait, got, id)));
        expected.start(id);
      } else if (const int id = kind == 1 ? expected.any(random) : 0) {
        tasks[static_cast<std::size_t>(id)].cancel();
        expected.cancel(id);
      } else if (kind == 2) {
        act();
      }
    }
    co_await sleep(1s);
    expected.let_run();
    REQUIRE(got == expected.got);
  }
  for (std::size_t i = 1; i < tasks.size(); ++i) tasks[i].cancel();
  for (std::size_t i = 1; i < tasks.size(); ++i) co_await tasks[i].join();
  CHECK(got == expected.got);
}

// Waits for a resource by itself or among others. A result that is no number counts as 1.
template <class Resource>
task<int> wait_for(Resource& resource, bool among_others) {
  if (among_others) {
    const auto first = co_await select(resource.wait_op(), sleep_op(duration::max()));
    if constexpr (std::is_same_v<Resource, barrier>) co_return std::get<0>(first) ? 2 : 1;
  } else if constexpr (std::is_same_v<Resource, barrier>) {
    const bool leads = co_await resource.wait();
    co_return leads ? 2 : 1;
  } else {
    co_await resource.wait();
  }
  co_return 1;
}

template <class Resource>
std::function<task<int>()> waits_on(Resource& resource, std::mt19937& random) {
  return [&] { return wait_for(resource, random() % 3 == 0); };
}

constexpr unsigned seeds = 60;

}  // namespace

TEST_CASE("NTF-01, NTF-02, NTF-04: random waiters, signals and cancels agree with a model of notify") {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    std::mt19937 random(seed);
    world w;
    w.run([&]() -> task<> {
      notify n;
      notify_model m;
      co_await compare(random, m, waits_on(n, random), [&] {
        if (random() % 3 == 0) return n.notify_all(), m.all();
        n.notify_one();
        m.one();
      });
    });
  }
}

TEST_CASE("BAR-01: random waiters and cancels agree with a model of a barrier") {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    std::mt19937 random(seed);
    world w;
    w.run([&]() -> task<> {
      const std::size_t parties = random() % 4 + 1;
      barrier b(parties);
      barrier_model m(parties);
      co_await compare(random, m, waits_on(b, random), [] {});
    });
  }
}

TEST_CASE("wait_group: random waiters, work and cancels agree with a model") {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    std::mt19937 random(seed);
    world w;
    w.run([&]() -> task<> {
      wait_group g;
      wait_group_model m;
      co_await compare(random, m, waits_on(g, random), [&] {
        if (random() % 3 == 0) {
          g.add(2);
          m.count += 2;
        } else if (m.count != 0) {
          g.done();
          m.done();
        }
      });
    });
  }
}

namespace {

// Whose turn it is makes the value, until it is told to succeed (a number) or to fail (0), or is cancelled.
struct once_program {
  std::mt19937 random;
  channel<int> told{0};
  int calls = 0;
  once<int> value{[this] { return make(); }};
  results got, expected;
  ids queue;
  int expected_calls = 0;
  int made = 0;
  std::vector<task_handle<void>> tasks = std::vector<task_handle<void>>(1);

  task<int> make() {
    ++calls;
    const auto word = co_await told.recv();
    if (*word == 0) throw std::runtime_error("failed");
    co_return *word;
  }
  task<int> ask() {
    int result = -1;
    try {
      const int* const asked = co_await value.get();
      result = *asked;
    } catch (const std::runtime_error&) {
    }
    co_return result;
  }
  void next_turn() { expected_calls += queue.empty() ? 0 : 1; }

  void start() {
    const int id = static_cast<int>(tasks.size());
    tasks.push_back(spawn(wait_once([this] { return ask(); }, got, id)));
    if (made) return void(expected[id] = made);
    queue.push_back(id);
    if (queue.size() == 1) next_turn();
  }
  void cancel_one() {
    const auto at = random() % queue.size();
    tasks[static_cast<std::size_t>(queue[at])].cancel();
    queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(at));
    if (at == 0) next_turn();
  }
  task<> tell(int word) {
    co_await told.send(word);
    if (word == 0) {
      expected[queue.front()] = -1;
      queue.erase(queue.begin());
      co_return next_turn();
    }
    made = word;
    for (const int id : std::exchange(queue, {})) expected[id] = word;
  }
  task<> run() {
    for (int step = 1; step <= 60; ++step) {
      const auto kind = random() % 4;
      if (kind < 2)
        start();
      else if (kind == 2 && !queue.empty())
        cancel_one();
      else if (!queue.empty())
        co_await tell(random() % 4 == 0 ? step : 0);
      co_await sleep(1s);
      REQUIRE(got == expected);
      REQUIRE(calls == expected_calls);
    }
    for (std::size_t i = 1; i < tasks.size(); ++i) tasks[i].cancel();
    for (std::size_t i = 1; i < tasks.size(); ++i) co_await tasks[i].join();
  }
};

}  // namespace

TEST_CASE("ONC-01, ONC-02: random askers, failures and cancels agree with a model of once") {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    world w;
    w.run([&]() -> task<> {
      once_program p;
      p.random.seed(seed);
      co_await p.run();
    });
  }
}
