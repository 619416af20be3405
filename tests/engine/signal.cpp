// Listening to signals: who gets them, when, and what they do afterwards. Signals are raised in this very process, and
// a handler put beneath the listeners shows which of them reach it.
#include <perilune/channel.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/signal.hpp>
#include <perilune/timer.hpp>

#include <atomic>
#include <string>

#include <signal.h>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

std::atomic<int> beneath{0};

// What SIGUSR1 does in this process while no listener listens; stands for the default, which would end the test.
class counting_handler {
 public:
  counting_handler() {
    beneath = 0;
    struct sigaction mine{};
    mine.sa_handler = [](int) { ++beneath; };
    ::sigaction(SIGUSR1, &mine, &before_);
  }
  ~counting_handler() { ::sigaction(SIGUSR1, &before_, nullptr); }
  counting_handler(const counting_handler&) = delete;
  counting_handler& operator=(const counting_handler&) = delete;

 private:
  struct sigaction before_{};
};

signal_listener must_listen(const std::vector<int>& numbers) {
  auto opened = signal_listener::listen(numbers);
  if (!opened.ok()) FAIL(opened.error().message);
  return *std::move(opened);
}

task<int> next_of(signal_listener from) { co_return (co_await from.recv()).value_or(-1); }

bool is_default(int number) {
  struct sigaction now{};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_DFL;
}

}  // namespace

TEST_CASE("SIG-01: every listener gets the signal", "[signal]") {
  runtime rt;
  auto end = rt.run([]() -> task<int> {
    auto a = spawn(next_of(must_listen({SIGUSR1}))), b = spawn(next_of(must_listen({SIGUSR1, SIGUSR2})));
    auto later = must_listen({SIGUSR1});
    co_await yield();
    ::raise(SIGUSR1);
    const int first = (co_await a.join()).value(), second = (co_await b.join()).value();
    const int third = co_await next_of(later);
    co_return first == SIGUSR1&& second == SIGUSR1&& third == SIGUSR1;
  }());
  CHECK(end.value() == 1);
}

TEST_CASE("SIG-02: a signal that came before the listener is not delivered", "[signal]") {
  const counting_handler under;
  runtime rt;
  auto end = rt.run([]() -> task<std::size_t> {
    ::raise(SIGUSR1);
    auto listener = must_listen({SIGUSR1});
    auto got = co_await select(listener.recv(), sleep_op(0s));
    co_return got.index();
  }());
  CHECK(end.value() == 1);
  CHECK(beneath == 1);
}

TEST_CASE("SIG-03: closing one listener leaves the others", "[signal]") {
  const counting_handler under;
  runtime rt;
  auto end = rt.run([]() -> task<int> {
    auto one = must_listen({SIGUSR1}), two = must_listen({SIGUSR1});
    auto ended = spawn(next_of(one));
    co_await yield();
    one.close();
    one.close();
    const int seen = (co_await ended.join()).value();
    CHECK(seen == -1);
    ::raise(SIGUSR1);
    co_return co_await next_of(two);
  }());
  CHECK(end.value() == SIGUSR1);
  CHECK(beneath == 0);
}

TEST_CASE("SIG-04: when the last listener is closed the signal does again what it did", "[signal]") {
  REQUIRE(is_default(SIGWINCH));
  const counting_handler under;
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto one = must_listen({SIGUSR1, SIGWINCH}), two = must_listen({SIGUSR1});
    one.close();
    CHECK(is_default(SIGWINCH));
    ::raise(SIGUSR1);
    CHECK(beneath == 0);
    two.close();
    ::raise(SIGUSR1);
    CHECK(beneath == 1);
    co_await yield();
  }());
  CHECK(end.returned());
  CHECK(is_default(SIGWINCH));
}

TEST_CASE("CAN-32: a signal whose receiver was cancelled on its way goes to the next one", "[signal]") {
  runtime rt;
  auto end = rt.run([]() -> task<int> {
    auto listener = must_listen({SIGUSR1, SIGUSR2});
    auto first = spawn(next_of(listener)), second = spawn(next_of(listener));
    co_await yield();
    ::raise(SIGUSR1);
    while (first.state() == task_state::waiting) co_await yield();
    CHECK(first.state() == task_state::ready);
    CHECK(second.state() == task_state::waiting);
    first.cancel();
    ::raise(SIGUSR2);
    const int got = (co_await second.join()).value();
    const bool lost = (co_await first.join()).cancelled();
    CHECK(lost);
    co_return got * 100 + co_await next_of(listener);
  }());
  CHECK(end.value() == SIGUSR1 * 100 + SIGUSR2);
}

TEST_CASE("SEL-05: a receive that lost a select takes no signal", "[signal]") {
  runtime rt;
  auto end = rt.run([]() -> task<int> {
    auto listener = must_listen({SIGUSR1});
    channel<int> other(1);
    static_cast<void>(other.try_send(1));
    for (int i = 0; i < 20; ++i) {
      auto got = co_await select_biased(other.recv_op(), listener.recv());
      if (got.index() == 0) static_cast<void>(other.try_send(1));
    }
    ::raise(SIGUSR1);
    auto late = co_await select_biased(other.recv_op(), listener.recv());
    const bool lost = late.index() == 0;
    co_return lost ? co_await next_of(listener) : -2;
  }());
  CHECK(end.value() == SIGUSR1);
}

TEST_CASE("DLK-03: a task that waits for a signal is no deadlock", "[signal]") {
  virtual_clock time;
  std::string report;
  runtime rt({.time = &time, .on_stall = [&](const std::string& text) { report = text; }});
  auto handle = rt.spawn([]() -> task<int> {
    auto listener = must_listen({SIGUSR1});
    co_return co_await next_of(listener);
  }());
  rt.tick();
  ::raise(SIGUSR1);
  rt.run_until_idle();
  CHECK(handle.outcome_now().value() == SIGUSR1);
  CHECK(report.empty());
}

TEST_CASE("SIG-01: what cannot be listened to is refused by name", "[signal]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    CHECK(signal_listener::listen({}).error().kind == error_kind::misuse);
    CHECK(signal_listener::listen({SIGKILL}).error().message == "listen: signal 9 cannot be waited for");
    CHECK(signal_listener::listen({SIGUSR1, 1000}).error().code == EINVAL);
    co_return;
  }());
  CHECK(end.returned());
  CHECK(signal_number("INT") == SIGINT);
  CHECK(signal_number("SIGTERM") == SIGTERM);
  CHECK(signal_number("NONE") == 0);
  CHECK(signal_number("") == 0);
  CHECK(signal_name(SIGHUP) == "HUP");
  CHECK(signal_name(4711).empty());
}
