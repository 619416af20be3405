// Moving virtual time from inside the runtime, and waiting until every other task is blocked.
#include <perilune/virtual_time.hpp>

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include <perilune/blocking.hpp>
#include <perilune/channel.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> note_the_time_after(trace& seen, duration span) {
  co_await sleep(span);
  seen.push_back(std::to_string(now() / 1s));
}

task<> tick_each_second(trace& seen, int count) {
  for (int i = 0; i < count; ++i) co_await note_the_time_after(seen, 1s);
}

task<> note_when_all_blocked(trace& seen, std::string text) {
  co_await wait_all_blocked();
  seen.push_back(std::move(text));
}

std::string joined(const trace& seen) {
  std::string text;
  for (const std::string& word : seen) text += (text.empty() ? "" : " ") + word;
  return text;
}

bool is_misuse(const std::exception_ptr& failure) {
  const error e = describe_exception(failure);
  return e.kind == error_kind::misuse && e.message.find("advance needs a virtual clock") == 0;
}

}  // namespace

TEST_CASE("VIR-05: advance(10s) over timers at 1 to 10 seconds fires each at its own instant", "[virtual_time]") {
  for (const bool by_itself : {true, false}) {
    world w;
    w.time.auto_advance(by_itself);
    trace seen;
    w.run([&]() -> task<> {
      for (int i = 10; i > 0; --i) spawn(note_the_time_after(seen, i * 1s));
      co_await advance(10s);
      CHECK(joined(seen) == "1 2 3 4 5 6 7 8 9 10");
      CHECK(now() == 10s);
      co_await advance(1500ms);
      CHECK(now() == 11500ms);
    });
  }
}

TEST_CASE("VIR-05: timers that wake on the way may arm new ones, which fire too", "[virtual_time]") {
  world w;
  w.time.auto_advance(false);
  trace seen;
  w.run([&]() -> task<> {
    auto ticker = spawn(tick_each_second(seen, 6));
    co_await advance(3s);
    CHECK(joined(seen) == "1 2 3");
    co_await advance(2999ms);
    CHECK(joined(seen) == "1 2 3 4 5");
    co_await advance(1ms);
    CHECK(ticker.settled());
  });
}

TEST_CASE("VIR-05: several tasks advance at once, each to its own end, in order", "[virtual_time]") {
  world w;
  w.time.auto_advance(false);
  trace seen;
  const auto advancing = [](trace& t, duration by) -> task<> {
    co_await advance(by);
    t.push_back("to " + std::to_string(now() / 1s));
  };
  w.run([&]() -> task<> {
    spawn(advancing(seen, 5s));
    spawn(advancing(seen, 2s));
    spawn(note_the_time_after(seen, 2s));
    spawn(note_the_time_after(seen, 3s));
    co_await advance(6s);
  });
  CHECK(joined(seen) == "2 to 2 3 to 5");
}

TEST_CASE("VIR-05: advancing to the end of time stops at the last deadline", "[virtual_time]") {
  world w;
  w.time.auto_advance(false);
  trace seen;
  w.run([&]() -> task<> {
    spawn(tick_each_second(seen, 4));
    co_await advance(duration::max());
    CHECK(joined(seen) == "1 2 3 4");
    CHECK(now() == 4s);
    co_await advance(duration::max());
    CHECK(now() == 4s);
  });
}

TEST_CASE("VIR-05: the host that ticks advances through the same instants, and a task may do so too",
          "[virtual_time]") {
  world w;
  trace seen;
  w.rt.spawn(tick_each_second(seen, 3));
  w.rt.tick();
  CHECK(w.rt.advance(2s).ok());
  CHECK(joined(seen) == "1 2");
  w.rt.spawn([](trace& t) -> task<> {
    co_await advance(10s);
    t.push_back("end " + std::to_string(now() / 1s));
  }(seen));
  w.rt.tick();
  CHECK(joined(seen) == "1 2 3 end 12");
}

TEST_CASE("VIR-06: advance on a clock that moves by itself, or back, is misuse", "[virtual_time]") {
  world w;
  CHECK(is_misuse(w.end_of([]() -> task<> { co_await advance(-1ns); }).exception()));
  runtime real;
  CHECK(is_misuse(real.run([]() -> task<> { co_await advance(1s); }()).exception()));
  CHECK_FALSE(real.advance(1s).ok());
}

TEST_CASE("VIR-06: pausing twice and resuming what is not paused are refused", "[virtual_time]") {
  virtual_clock time;
  CHECK_FALSE(time.resume());
  CHECK(time.pause());
  CHECK_FALSE(time.auto_advance());
  CHECK_FALSE(time.pause());
  CHECK(time.resume());
  CHECK(time.auto_advance());
  CHECK_FALSE(time.resume());
}

TEST_CASE("VIR-07: waiting until all are blocked wins over auto-advance", "[virtual_time]") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    auto sleeping = spawn(note_the_time_after(seen, 1s));
    auto busy = spawn([](trace& t) -> task<> {
      for (int i = 0; i < 500; ++i) co_await yield();
      t.push_back("idle");
    }(seen));
    co_await wait_all_blocked();
    CHECK(joined(seen) == "idle");
    CHECK(now() == 0s);
    co_await sleeping.join();
    CHECK(now() == 1s);
  });
}

TEST_CASE("VIR-07: those who wait for the quiet are served one by one, each when the one before is blocked",
          "[virtual_time]") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    spawn([](trace& t) -> task<> {
      co_await note_when_all_blocked(t, "first");
      for (int i = 0; i < 5; ++i) co_await yield();
      t.push_back("first blocks");
      co_await sleep(1s);
    }(seen));
    spawn(note_when_all_blocked(seen, "second"));
    co_await sleep(1ms);
  });
  CHECK(joined(seen) == "first first blocks second");
}

TEST_CASE("VIR-07: it can lose a select and be cancelled, and leaves nothing behind", "[virtual_time]") {
  world w;
  w.run([&]() -> task<> {
    channel<int> ch(1);
    spawn([](channel<int>& c) -> task<> { co_await c.send(7); }(ch));
    auto got = co_await select(ch.recv_op(), wait_all_blocked_op(), advance_op(1s));
    CHECK(got.index() == 0);
    got = co_await select(ch.recv_op(), wait_all_blocked_op(), advance_op(1s));
    CHECK(got.index() == 1);
    CHECK(now() == 0s);
    auto gone = spawn([]() -> task<> { co_await advance(1h); }());
    co_await yield();
    gone.cancel();
    auto end = co_await gone.join();
    CHECK(end.cancelled());
    co_await wait_all_blocked();
    CHECK(now() == 0s);
  });
}

TEST_CASE("VIR-07: real and manual clocks serve it too", "[virtual_time]") {
  trace seen;
  runtime real;
  const auto end = real.run([](trace& t) -> task<> {
    auto busy = spawn([](trace& b) -> task<> {
      for (int i = 0; i < 100; ++i) co_await yield();
      b.push_back("idle");
      co_await sleep(duration::max());
    }(t));
    co_await note_when_all_blocked(t, "quiet");
    busy.cancel();
  }(seen));
  CHECK(end.returned());
  manual_clock by_hand;
  runtime ticked({.time = &by_hand});
  ticked.spawn(sleeper(1s));
  ticked.spawn(note_when_all_blocked(seen, "quiet"));
  ticked.tick();
  CHECK(joined(seen) == "idle quiet quiet");
}

TEST_CASE("VIR-07: all others means those of every worker", "[virtual_time]") {
  virtual_clock time;
  runtime rt({.workers = 3, .time = &time, .seed = 1});
  std::atomic<int> finished{0};
  const auto busy = [](std::atomic<int>& done) -> task<> {
    for (int i = 0; i < 2000; ++i) co_await yield();
    co_await sleep(1s);
    ++done;
    co_await sleep(1h);
  };
  for (unsigned i : {1U, 2U}) rt.post(i, [&] { spawn(busy(finished)); });
  const auto end = rt.run([](runtime& r, std::atomic<int>& done) -> task<> {
    co_await wait_all_blocked();
    CHECK(done == 0);
    CHECK(now() == 0s);
    co_await advance(1s);
    CHECK(done == 2);
    std::atomic<bool> elsewhere{false};
    r.post(2, [&] {
      spawn([](std::atomic<bool>& e) -> task<> {
        co_await advance(1s);
        e = true;
      }(elsewhere));
    });
    co_await advance(3s);
    CHECK(elsewhere);
    r.cancel_all(cancel_source::cancel, "end", "test");
  }(rt, finished));
  CHECK(finished == 2);
  CHECK(time.now() == 4s);
}

TEST_CASE("VIR-09: with auto-advance off sleepers sleep on, and that is no deadlock", "[virtual_time]") {
  world w;
  w.time.auto_advance(false);
  w.run([&]() -> task<> {
    auto sleeping = spawn(sleeper(1s));
    auto later = spawn(sleeper(24h));
    for (int i = 0; i < 10; ++i) co_await wait_all_blocked();
    CHECK(now() == 0s);
    CHECK_FALSE(sleeping.settled());
    co_await advance(24h);
    CHECK(later.settled());
  });
  CHECK(w.stalls.empty());
}

TEST_CASE("VIR-09: the run itself waits until somebody switches it on", "[virtual_time]") {
  world w;
  w.time.auto_advance(false);
  std::latch asleep(1);
  std::thread host([&] {
    asleep.wait();
    w.rt.post(0, [&] { w.time.auto_advance(true); });
  });
  w.run([&]() -> task<> {
    asleep.count_down();
    co_await sleep(1h);
  });
  host.join();
  CHECK(w.time.now() == 1h);
  CHECK(w.stalls.empty());
}

TEST_CASE("VIR-10: while something outside is pending time jumps only when told", "[virtual_time]") {
  world w;
  trace seen;
  std::latch go(1);
  w.run([&]() -> task<> {
    spawn([](trace& t, std::latch& gate) -> task<> {
      co_await blocking([&gate] { gate.wait(); });
      t.push_back("outside at " + std::to_string(now() / 1s));
    }(seen, go));
    spawn(tick_each_second(seen, 5));
    for (int i = 0; i < 10; ++i) co_await wait_all_blocked();
    CHECK(now() == 0s);
    co_await advance(2s);
    CHECK(joined(seen) == "1 2");
    go.count_down();
    co_await advance(duration::max());
    CHECK(joined(seen) == "1 2 outside at 2 3 4 5");
  });
}
