// Channels between tasks and threads that run none.
#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <perilune/thread_channel.hpp>

#include "world.hpp"

using namespace perilune;
using perilune::test::world;

namespace {

// Runs the body and ends its runtime: threads whose calls come later than the run learn of the end. Returns what stalled.
template <class F>
std::vector<std::string> run_and_end(F body) {
  world w;
  w.run(body);
  return w.stalls;
}

}  // namespace

TEST_CASE("CHN-27: a thread sends, a task receives, in order") {
  std::thread sender;
  run_and_end([&]() -> task<> {
    const channel<int> pipe(2);
    sender = std::thread([gate = thread_channel<int>(pipe)] {
      for (int i = 0; i < 200; ++i)
        if (!gate.blocking_send(i)) return;
    });
    for (int i = 0; i < 200; ++i) {
      const auto got = co_await pipe.recv();
      CHECK(got == i);
    }
  });
  sender.join();
}

TEST_CASE("CHN-27: a task sends, a thread receives until the end") {
  std::vector<int> received;
  std::thread receiver;
  run_and_end([&]() -> task<> {
    const channel<int> pipe(0), drained(0);
    receiver = std::thread([&received, gate = thread_channel<int>(pipe), end = thread_channel<int>(drained)] {
      while (auto value = gate.blocking_recv()) received.push_back(*value);
      end.blocking_send(0);
    });
    for (int i = 0; i < 200; ++i) co_await pipe.send(i);
    pipe.close();
    co_await drained.recv();
  });
  receiver.join();
  std::vector<int> expected(200);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(received == expected);
}

TEST_CASE("CHN-27: threads on both ends: no value is lost or doubled, each sender's order is kept") {
  constexpr int senders = 3, each = 100;
  std::vector<int> last(senders, -1);
  std::atomic<int> count{0};
  bool ordered = true;
  std::vector<std::thread> threads;
  run_and_end([&]() -> task<> {
    const channel<int> pipe(4), done(senders), drained(0);
    for (int s = 0; s < senders; ++s)
      threads.emplace_back([s, to = thread_channel<int>(pipe), end = thread_channel<int>(done)] {
        for (int i = 0; i < each; ++i) to.blocking_send(s * each + i);
        end.blocking_send(s);
      });
    threads.emplace_back([&, from = thread_channel<int>(pipe), end = thread_channel<int>(drained)] {
      while (auto value = from.blocking_recv()) {
        ordered = ordered && *value % each > last[static_cast<std::size_t>(*value / each)];
        last[static_cast<std::size_t>(*value / each)] = *value % each;
        ++count;
      }
      end.blocking_send(0);
    });
    for (int s = 0; s < senders; ++s) co_await done.recv();
    pipe.close();
    co_await drained.recv();
  });
  for (auto& t : threads) t.join();
  CHECK(ordered);
  CHECK(count == senders * each);
}

TEST_CASE("CHN-27, CHN-04: a closed channel gives the value back to the thread") {
  std::thread sender;
  send_result<std::unique_ptr<int>> refused;
  run_and_end([&]() -> task<> {
    const channel<std::unique_ptr<int>> full(0);
    const channel<int> ready(0);
    sender =
        std::thread([&refused, to = thread_channel<std::unique_ptr<int>>(full), told = thread_channel<int>(ready)] {
          told.blocking_send(1);
          refused = to.blocking_send(std::make_unique<int>(7));
        });
    co_await ready.recv();
    full.close();
  });
  sender.join();
  CHECK(refused.status == channel_status::closed);
  CHECK(**refused.value == 7);
}

TEST_CASE("CHN-27: when the run ends, a call that waits returns, and the value comes back") {
  std::vector<std::thread> threads;
  std::atomic<bool> received{true};
  send_result<int> sent;
  run_and_end([&]() -> task<> {
    const channel<int> empty(0), full(0), ready(2);
    threads.emplace_back([&received, from = thread_channel<int>(empty), told = thread_channel<int>(ready)] {
      told.blocking_send(1);
      received = from.blocking_recv().has_value();
    });
    threads.emplace_back([&sent, to = thread_channel<int>(full), told = thread_channel<int>(ready)] {
      told.blocking_send(1);
      sent = to.blocking_send(5);
    });
    co_await ready.recv();
    co_await ready.recv();
  });
  for (auto& t : threads) t.join();
  CHECK_FALSE(received);
  CHECK(sent.status == channel_status::closed);
  CHECK(sent.value == 5);
}

TEST_CASE("CHN-27: inside a task it is an error, not a deadlock") {
  world w;
  w.run([]() -> task<> {
    const channel<int> pipe(0);
    const thread_channel<int> gate(pipe);
    CHECK_THROWS_AS(gate.blocking_send(1), task_error);
    CHECK_THROWS_AS(gate.blocking_recv(), task_error);
    co_return;
  });
  const channel<int> nowhere(0);
  CHECK_THROWS_AS(thread_channel<int>(nowhere), task_error);
}

TEST_CASE("DLK-03, VIR-10: while a thread may still call, nothing is stalled and time waits") {
  std::thread sender;
  const auto stalls = run_and_end([&]() -> task<> {
    const channel<int> pipe(0);
    std::atomic<bool> go{false};
    sender = std::thread([&go, gate = thread_channel<int>(pipe)] {
      while (!go) std::this_thread::yield();
      gate.blocking_send(1);
    });
    spawn([](std::atomic<bool>& open) -> task<> {
      open = true;
      co_return;
    }(go));
    const auto got = co_await pipe.recv();
    CHECK(got == 1);
  });
  sender.join();
  CHECK(stalls.empty());
}
