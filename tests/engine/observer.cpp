// What an observer is told, what it may do, and runs whose order is drawn from the seed.
#include <perilune/observer.hpp>

#include <algorithm>
#include <set>
#include <string>

#include <perilune/channel.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

// Writes down what it is told.
class recorder final : public observer {
 public:
  void spawned(task_header& task) noexcept override { add(task, "spawned"); }
  void resumed(task_header& task) noexcept override { add(task, "resumed"); }
  void suspended(task_header& task) noexcept override {
    add(task, task.status == task_state::waiting ? task.op->describe().verb : to_string(task.status));
  }
  void ended(task_header& task) noexcept override { add(task, to_string(task.status)); }
  trace seen;

 private:
  void add(const task_header& task, const char* what) { seen.push_back(std::to_string(task.id) + " " + what); }
};

task<> pass(channel<int>& from, channel<int>& to) {
  for (int i = 0; i < 3; ++i) {
    const auto value = co_await from.recv();
    co_await to.send(value ? *value : -1);
    co_await yield();
  }
}

task<> talk() {
  channel<int> there(0);
  channel<int> back(1);
  auto other = spawn(pass(there, back));
  for (int i = 0; i < 3; ++i) {
    co_await there.send(i);
    static_cast<void>(co_await back.recv());
  }
  co_await other.join();
}

trace trace_of_talk(bool shuffle, std::uint64_t seed) {
  recorder watcher;
  world w({.seed = seed, .shuffle = shuffle, .observed_by = &watcher});
  w.run(talk);
  return watcher.seen;
}

// In which order eight tasks that become ready at once run.
trace order_of_eight(bool shuffle, std::uint64_t seed) {
  world w({.seed = seed, .shuffle = shuffle});
  trace seen;
  w.run([&]() -> task<> {
    for (int i = 1; i <= 8; ++i) spawn(note(seen, std::to_string(i)));
    co_return;
  });
  return seen;
}

// Cancels one task at its nth suspension.
class canceller final : public observer {
 public:
  explicit canceller(int n) : left_(n) {}
  void suspended(task_header& task) noexcept override {
    if (task.id == 1 && --left_ == 0) cancel(task, reason_ptr::make(cancel_source::cancel, "here"));
  }

 private:
  int left_;
};

}  // namespace

TEST_CASE("VIR-08: an observer sees every spawn, switch, wait and end, in order", "[observer]") {
  recorder watcher;
  world w({.observed_by = &watcher});
  w.run([]() -> task<> {
    auto child = spawn(sleeper(1s));
    co_await yield();
    co_await child.join();
  });
  CHECK(watcher.seen == trace{"1 spawned", "1 resumed", "2 spawned", "1 ready", "2 resumed", "2 sleep", "1 resumed",
                              "1 join", "2 resumed", "2 returned", "1 resumed", "1 returned"});
}

TEST_CASE("VIR-08: same seed, same trace", "[observer]") {
  const trace in_turn = trace_of_talk(false, 1);
  CHECK(trace_of_talk(false, 1) == in_turn);
  CHECK(trace_of_talk(false, 2) == in_turn);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) CHECK(trace_of_talk(true, seed) == trace_of_talk(true, seed));
}

TEST_CASE("COP-08: a shuffled run permutes the order of ready tasks, and repeats it with its seed", "[observer]") {
  const trace in_turn{"1", "2", "3", "4", "5", "6", "7", "8"};
  CHECK(order_of_eight(false, 7) == in_turn);
  std::set<trace> orders;
  std::set<std::string> first;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    trace order = order_of_eight(true, seed);
    CHECK(order == order_of_eight(true, seed));
    orders.insert(order);
    first.insert(order.front());
    std::sort(order.begin(), order.end());
    CHECK(order == in_turn);
  }
  CHECK(orders.size() > 95);
  CHECK(first.size() == 8);
}

TEST_CASE("COP-04: in a shuffled run, too, who yields lets all that is ready run once", "[observer]") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    world w({.seed = seed, .shuffle = true});
    w.run([]() -> task<> {
      int ran = 0;
      for (int i = 0; i < 8; ++i)
        spawn([](int& count) -> task<> {
          ++count;
          co_await yield();
          ++count;
        }(ran));
      co_await yield();
      CHECK(ran == 8);
      co_await yield();
      CHECK(ran == 16);
    });
  }
}

TEST_CASE("COP-08: in a shuffled run nobody starves, and timers fire", "[observer]") {
  world w({.seed = 5, .shuffle = true});
  w.run([]() -> task<> {
    bool done = false;
    auto busy = spawn([](bool& stop) -> task<> {
      while (!stop) co_await yield();
    }(done));
    auto quiet = spawn([](bool& stop) -> task<> {
      for (int i = 0; i < 1000; ++i) co_await yield();
      stop = true;
    }(done));
    co_await busy.join();
    co_await quiet.join();
    co_await sleep(1h);
  });
  CHECK(w.time.now() == instant(1h));
}

TEST_CASE("An observer may cancel a task where it has just left off", "[observer]") {
  for (int n = 1; n <= 3; ++n) {
    canceller watcher(n);
    world w({.observed_by = &watcher});
    int passed = 0;
    const auto end = w.end_of([&]() -> task<> {
      channel<int> ch(0);
      for (;; ++passed) co_await (passed % 2 ? sleep(1s) : sleep(2s));
    });
    CHECK(end.cancelled());
    CHECK(passed == n - 1);
  }
}

TEST_CASE("OBS-05: a task may end the observation; those behind it in the same batch run on, unobserved") {
  for (const bool shuffle : {false, true}) {
    recorder watcher;
    world w({.seed = 3, .shuffle = shuffle, .observed_by = &watcher});
    trace ran;
    w.run([&]() -> task<> {
      const auto end_it = [](trace& log) -> task<> {
        scheduler::here()->observe(nullptr);
        log.push_back("ended");
        co_await yield();
      };
      std::vector<task_handle<void>> all;
      for (int i = 0; i < 4; ++i) {
        all.push_back(spawn(end_it(ran)));
        all.push_back(spawn(note(ran, "noted")));
      }
      for (auto& each : all) co_await each.join();
    });
    CHECK(ran.size() == 8);
    // The main task began, spawned eight, began to wait; one more ran at most before the first who ends it.
    CHECK(watcher.seen.back().ends_with(" resumed"));
    CHECK(std::count_if(watcher.seen.begin(), watcher.seen.end(),
                        [](const std::string& s) { return s.ends_with(" resumed"); }) <= 6);
  }
}
