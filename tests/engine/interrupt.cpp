// Requests made by signal handlers: they arrive whether the runtime works or sleeps, and keep nothing alive.
#include <perilune/interrupt.hpp>

#include <chrono>
#include <csignal>
#include <thread>

#include <perilune/channel.hpp>
#include <perilune/runtime.hpp>
#include <perilune/timer.hpp>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace perilune;

namespace {

interrupt* raised = nullptr;

// SIGUSR1 raises an interrupt for as long as this lives.
class on_signal {
 public:
  explicit on_signal(interrupt& what) {
    raised = &what;
    std::signal(SIGUSR1, [](int) { raised->raise(); });
  }
  ~on_signal() { std::signal(SIGUSR1, SIG_DFL); }
};

task<> sleep_until_cancelled() { co_await sleep(1h); }

task<> yield_until(bool& done) {
  while (!done) co_await yield();
}

task<> signal_from_inside(int& heard) {
  for (int i = 0; i < 3; ++i) std::raise(SIGUSR1);
  const int during = heard;
  for (int i = 0; i < 200; ++i) co_await yield();
  heard = heard * 10 + during;
}

}  // namespace

TEST_CASE("SIG-05: a signal ends a sleeping run") {
  runtime rt;
  interrupt stop(rt, [&] { rt.cancel_all(cancel_source::signal, "SIGUSR1", "SIGUSR1"); });
  const on_signal installed(stop);
  const pthread_t here = pthread_self();
  std::thread sender([here] { pthread_kill(here, SIGUSR1); });
  const auto end = rt.run(sleep_until_cancelled());
  sender.join();
  REQUIRE(end.cancelled());
  REQUIRE(end.reason()->source == cancel_source::signal);
}

TEST_CASE("SIG-05: a signal is heard while the run queue never empties") {
  runtime rt;
  bool done = false;
  interrupt stop(rt, [&] { done = true; });
  const on_signal installed(stop);
  const pthread_t here = pthread_self();
  std::thread sender([here] { pthread_kill(here, SIGUSR1); });
  const auto end = rt.run(yield_until(done));
  sender.join();
  REQUIRE(end.returned());
}

TEST_CASE("SIG-05: raises that come before the function has run are one, and it never runs inside a task") {
  runtime rt;
  int heard = 0;
  interrupt count(rt, [&] { ++heard; });
  const on_signal installed(count);
  REQUIRE(rt.run(signal_from_inside(heard)).returned());
  REQUIRE(heard == 10);
}

TEST_CASE("DLK-04: an interrupt does not hide a deadlock") {
  runtime_options options;
  options.on_stall = [](const std::string&) {};
  runtime rt(std::move(options));
  interrupt stop(rt, [] {});
  channel<int> never(0);
  const auto end = rt.run([](channel<int> ch) -> task<> { co_await ch.recv(); }(never));
  REQUIRE(end.failed());
  REQUIRE(end.error().kind == error_kind::deadlock);
}

TEST_CASE("RUN-07: an interrupt may be dropped while its request is under way") {
  runtime rt;
  bool ran = false;
  {
    interrupt late(rt, [&] { ran = true; });
    late.raise();
  }
  REQUIRE(rt.run([]() -> task<> { co_return; }()).returned());
  REQUIRE_FALSE(ran);
}
