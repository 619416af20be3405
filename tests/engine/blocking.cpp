// The blocking pool: what runs beside the loop, what is withdrawn, and what is waited for. Its end: blocking_end.cpp.
#include <perilune/blocking.hpp>
#include <perilune/channel.hpp>
#include <perilune/fs.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "engine/gate.hpp"
#include "support/catch.hpp"

using namespace perilune;
using namespace perilune::test;
using namespace std::chrono_literals;

namespace {

// Returns once the thread waits in the kernel. The caller must know that it will.
void until_asleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (;;) {
    std::ifstream stat(path);
    std::string line;
    std::getline(stat, line);
    if (line[line.rfind(')') + 2] == 'S') return;
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("RUN-01: a blocking call holds no task up", "[blocking]") {
  runtime rt;
  auto g = std::make_shared<gate>();
  auto end = rt.run([](std::shared_ptr<gate> at) -> task<int> {
    auto call = spawn([](std::shared_ptr<gate> a) -> task<int> {
      auto wait = blocking([a] { return a->pass(), 7; });
      co_return co_await wait;
    }(at));
    for (int i = 0; i < 3; ++i) co_await sleep(1ms);
    CHECK_FALSE(call.settled());
    at->open.count_down();
    co_return (co_await call.join()).value();
  }(g));
  REQUIRE(end.returned());
  CHECK(end.value() == 7);
}

TEST_CASE("RUN-02: a call that throws fails its task, and its thread serves the next", "[blocking]") {
  runtime rt;
  auto end = rt.run([]() -> task<std::string> {
    std::string seen;
    try {
      co_await blocking([]() -> int { throw std::runtime_error("bad disk"); });
    } catch (const std::runtime_error& e) {
      seen = e.what();
    }
    co_await blocking([] {});
    auto moved = co_await blocking([] { return std::make_unique<int>(3); });
    co_return seen + std::to_string(*moved);
  }());
  REQUIRE(end.returned());
  CHECK(end.value() == "bad disk3");
  CHECK(rt.blocking().threads == 1);
}

TEST_CASE("RUN-03: a queued call is withdrawn with its task, a running one is waited for", "[blocking]") {
  runtime rt({.blocking_threads = 1});
  auto g = std::make_shared<gate>();
  std::atomic<int> ran{0};
  auto end = rt.run([](std::shared_ptr<gate> at, std::atomic<int>* count) -> task<void> {
    auto running = spawn([](std::shared_ptr<gate> a, std::atomic<int>* c) -> task<int> {
      auto wait = blocking([a, c] { return a->pass(), c->fetch_add(1) + 1; });
      co_return co_await wait;
    }(at, count));
    auto queued = spawn([](std::atomic<int>* c) -> task<int> {
      co_return co_await blocking([c] { return c->fetch_add(100); });
    }(count));
    co_await yield();
    at->begun.wait();
    running.cancel("no longer wanted");
    queued.cancel("no longer wanted");
    const bool withdrawn = (co_await queued.join()).cancelled();
    CHECK(withdrawn);
    CHECK_FALSE(running.settled());
    at->open.count_down();
    const auto& outcome = co_await running.join();
    REQUIRE(outcome.returned());
    CHECK(outcome.value() == 1);
  }(g, &ran));
  CHECK(end.returned());
  CHECK(ran == 1);
}

TEST_CASE("RUN-03: a task that reads may be cancelled while its call runs", "[blocking]") {
  auto g = std::make_shared<gate>();
  std::promise<void> gone;
  {
    runtime rt;
    auto end = rt.run([](std::shared_ptr<gate> at, std::shared_ptr<void> last) -> task<void> {
      auto reader = spawn([](std::shared_ptr<gate> a, std::shared_ptr<void> kept) -> task<int> {
        auto read = blocking([a, l = std::move(kept)] { return a->pass(), 1; }, {.name = "read", .abandonable = true});
        co_return co_await read;
      }(at, std::move(last)));
      co_await yield();
      at->begun.wait();
      reader.cancel();
      const bool left_early = (co_await reader.join()).cancelled();
      CHECK(left_early);
      at->open.count_down();
    }(g, farewell(gone)));
    CHECK(end.returned());
  }
  gone.get_future().wait();
}

TEST_CASE("RUN-03: a killed task does not wait for its call", "[blocking]") {
  auto g = std::make_shared<gate>();
  std::promise<void> gone;
  {
    runtime rt;
    auto end = rt.run([](std::shared_ptr<gate> at, std::shared_ptr<void> last) -> task<void> {
      auto writer = spawn([](std::shared_ptr<gate> a, std::shared_ptr<void> kept) -> task<void> {
        auto write = blocking([a, l = std::move(kept)] { a->pass(); }, {.name = "write"});
        co_await write;
      }(at, std::move(last)));
      co_await yield();
      at->begun.wait();
      writer.cancel();
      co_await yield();
      CHECK_FALSE(writer.settled());
      kill(writer.header(), reason_ptr::make(cancel_source::cancel, "now"));
      const bool killed = (co_await writer.join()).cancelled();
      CHECK(killed);
      at->open.count_down();
    }(g, farewell(gone)));
    CHECK(end.returned());
  }
  gone.get_future().wait();
}

TEST_CASE("RUN-04: calls queue at the pool's limit, visibly, and may be refused", "[blocking]") {
  runtime rt({.blocking_threads = 2, .blocking_queue = 1});
  gate first, second;
  std::vector<int> order;
  auto end = rt.run([](runtime& r, gate& a, gate& b, std::vector<int>& seen) -> task<void> {
    auto call = [](gate* at, std::vector<int>& log, int n) -> task<void> {
      co_await blocking([at] {
        if (at) at->pass();
      });
      log.push_back(n);
    };
    auto one = spawn(call(&a, seen, 1)), two = spawn(call(&b, seen, 2));
    auto three = spawn(call(nullptr, seen, 3)), four = spawn(call(nullptr, seen, 4));
    co_await yield();
    a.begun.wait(), b.begun.wait();
    const blocking_stats full = r.blocking();
    CHECK(full.threads == 2);
    CHECK(full.running == 2);
    CHECK(full.queued == 2);
    int refused = 0;
    try {
      co_await blocking([] {}, {.name = "probe", .refuse_when_full = true});
    } catch (const task_error& e) {
      refused = e.problem().code;
    }
    CHECK(refused == EAGAIN);
    a.open.count_down();
    co_await four.join();
    b.open.count_down();
    co_await two.join();
    co_await one.join(), co_await three.join();
  }(rt, first, second, order));
  CHECK(end.returned());
  CHECK(order == std::vector{1, 3, 4, 2});
  CHECK(rt.blocking().queued == 0);
}

TEST_CASE("RUN-04: a full pool keeps no file waiting", "[blocking]") {
  runtime rt({.blocking_threads = 1, .blocking_queue = 1});
  gate g;
  auto end = rt.run([](gate& at) -> task<bool> {
    auto held = spawn([](gate* a) -> task<void> { co_await blocking([a] { a->pass(); }); }(&at));
    auto queued = spawn([]() -> task<void> { co_await blocking([] {}); }());
    co_await yield();
    at.begun.wait();
    const auto found = co_await fs::stat("/");
    at.open.count_down();
    co_await queued.join(), co_await held.join();
    co_return found.ok();
  }(g));
  REQUIRE(end.returned());
  CHECK(end.value());
}

TEST_CASE("RUN-16: a call with a thread of its own has its name, and counts to no bound", "[blocking]") {
  runtime rt({.blocking_threads = 1});
  auto end = rt.run([](runtime& r) -> task<void> {
    for (int round = 0; round < 3; ++round) {
      gate first, second;
      const auto call = [](gate& at) -> task<std::string> {
        co_return co_await blocking(
            [g = &at] {
              g->pass();
              char name[16] = "";
              pthread_getname_np(pthread_self(), name, sizeof name);
              return std::string(name);
            },
            {.name = "listener of mail", .crew = blocking_crew::own});
      };
      auto one = spawn(call(first)), two = spawn(call(second));
      co_await yield();
      first.begun.wait(), second.begun.wait();
      CHECK(r.blocking().threads == (round ? 1U : 0U));
      CHECK(r.blocking().running == 0);
      co_await blocking([] {});
      first.open.count_down(), second.open.count_down();
      const auto& name = co_await one.join();
      CHECK(name.value() == "listener of mai");
      co_await two.join();
    }
  }(rt));
  CHECK(end.returned());
}

TEST_CASE("VIR-03: a virtual clock stands still while a call is in flight, also one that fails", "[blocking]") {
  virtual_clock time;
  runtime rt({.time = &time});
  const pid_t loop = gettid();
  auto end = rt.run([](virtual_clock& clock, pid_t thread) -> task<void> {
    auto sleeper = spawn([]() -> task<void> { co_await sleep(1h); }());
    for (const bool fails : {false, true}) {
      instant seen{-1};
      try {
        seen = co_await blocking([&clock, thread, fails] {
          until_asleep(thread);
          if (fails) throw std::runtime_error("failed");
          return clock.now();
        });
      } catch (const std::runtime_error&) {
        seen = clock.now();
      }
      CHECK(seen == 0s);
    }
    co_await sleeper.join();
    CHECK(clock.now() == 1h);
  }(time, loop));
  CHECK(end.returned());
}

TEST_CASE("RUN-03: a call that lost a select is withdrawn while it is queued", "[blocking]") {
  runtime rt({.blocking_threads = 1});
  gate g;
  std::atomic<bool> ran{false};
  auto end = rt.run([](gate& at, std::atomic<bool>& r) -> task<std::size_t> {
    auto first = spawn([](gate& a) -> task<void> { co_await blocking([&a] { a.pass(); }); }(at));
    co_await yield();
    at.begun.wait();
    auto won = co_await select(blocking([&r] { r = true; }), sleep_op(0s));
    at.open.count_down();
    co_await first.join();
    co_return won.index();
  }(g, ran));
  CHECK(end.value() == 1);
  CHECK_FALSE(ran);
}

TEST_CASE("DLK-03: a call in flight is no deadlock", "[blocking]") {
  std::string report;
  runtime rt({.on_stall = [&](const std::string& text) { report = text; }});
  const pid_t loop = gettid();
  auto end = rt.run([](pid_t thread) -> task<int> {
    channel<int> values(0);
    spawn([](channel<int> to, pid_t t) -> task<void> {
      co_await blocking([t] { until_asleep(t); });
      co_await to.send(5);
    }(values, thread));
    co_return *co_await values.recv();
  }(loop));
  CHECK(end.value() == 5);
  CHECK(report.empty());
}

TEST_CASE("RUN-02: threads of the pool take no signals", "[blocking]") {
  runtime rt;
  auto end = rt.run([]() -> task<bool> {
    co_return co_await blocking([] {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGCHLD) == 1;
    });
  }());
  CHECK(end.value());
}

TEST_CASE("CAN-33: a call that has run yields its result although its task was cancelled meanwhile", "[blocking]") {
  runtime rt;
  gate g;
  auto end = rt.run([](gate& at) -> task<int> {
    auto writer =
        spawn([](gate& a) -> task<int> { co_return co_await blocking([&a] { return a.begun.count_down(), 9; }); }(at));
    co_await yield();
    at.begun.wait();
    writer.cancel();
    const auto& outcome = co_await writer.join();
    co_return outcome.returned() ? outcome.value() : -1;
  }(g));
  CHECK(end.value() == 9);
}
