// Child processes: starting, waiting, signalling, ending, and their pipes. Real programs of every Debian system.
#include <perilune/process.hpp>
#include <perilune/runtime.hpp>
#include <perilune/scope.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_group.hpp"
#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

process_options shell(const char* script) { return process_options::command("/bin/sh", "-c", script); }

process must_spawn(const process_options& options) {
  auto made = process::spawn(options);
  if (!made.ok()) FAIL(made.error().message);
  return *std::move(made);
}

bool exists(pid_t pid) { return ::kill(pid, 0) == 0; }
bool no_children_left() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

// A child that says "ready" when it ignores TERM, and then never ends by itself.
process stubborn() {
  auto options = shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
  options.out = stdio::pipe();
  options.grace = 1ms;
  return must_spawn(options);
}

task<std::string> line_of(reader from) {
  auto line = co_await from.read_line();
  if (!line.ok()) co_return "error: " + line.error().message;
  co_return line.value().value_or("<end>");
}

}  // namespace

TEST_CASE("SIG-08: an exit is seen with its code, time and resources", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto child = must_spawn(shell("exit 7"));
    CHECK(child.id() > 0);
    auto status = co_await child.wait();
    REQUIRE(status.ok());
    CHECK(status->code == 7);
    CHECK(status->signal == 0);
    CHECK(status->elapsed > 0s);
    CHECK(status->usage.max_rss_bytes > 0);
    CHECK_FALSE(child.running());
    auto again = co_await child.wait();
    CHECK(again->code == 7);
    CHECK(child.signal(SIGTERM).error().code == ESRCH);
  }());
  CHECK(end.returned());
  CHECK(no_children_left());
}

TEST_CASE("SIG-08: an end by a signal is told from an exit", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto child = must_spawn(process_options::command("sleep", "1000"));
    REQUIRE(child.signal(SIGINT).ok());
    auto status = co_await child.wait();
    CHECK(status->code == -1);
    CHECK(status->signal == SIGINT);
  }());
  CHECK(end.returned());
}

TEST_CASE("SIG-08: a wait that is cancelled leaves the child alone, and a later wait works", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto child = must_spawn(process_options::command("sleep", "1000"));
    auto first = spawn([](const process& p) -> task<void> { static_cast<void>(co_await p.wait()); }(child));
    co_await yield();
    first.cancel();
    const bool gave_up = (co_await first.join()).cancelled();
    CHECK(gave_up);
    auto lost = co_await select(child.wait(), sleep_op(0s));
    CHECK(lost.index() == 1);
    CHECK(child.running());
    CHECK(exists(child.id()));
    REQUIRE(child.signal(SIGKILL).ok());
    auto both = spawn([](const process& p) -> task<int> { co_return (co_await p.wait())->signal; }(child));
    auto status = co_await child.wait();
    CHECK(status->signal == SIGKILL);
    const int told_too = (co_await both.join()).value();
    CHECK(told_too == SIGKILL);
  }());
  CHECK(end.returned());
}

TEST_CASE("SIG-06: a handle that goes away ends the child, and its task waits for that", "[process]") {
  runtime rt;
  pid_t polite = 0, rude = 0;
  auto end = rt.run([](pid_t& first, pid_t& second) -> task<void> {
    auto owner = spawn([](pid_t& a, pid_t& b) -> task<void> {
      auto one = must_spawn(process_options::command("sleep", "1000"));
      auto two = stubborn();
      a = one.id(), b = two.id();
      const std::string first_line = co_await line_of(two.output());
      CHECK(first_line == "ready");
    }(first, second));
    const bool returned = (co_await owner.join()).returned();
    CHECK(returned);
    CHECK_FALSE(exists(first));
    CHECK_FALSE(exists(second));
    CHECK_FALSE(detail::group_runs(second));
  }(polite, rude));
  CHECK(end.returned());
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: a cancelled task ends only when its child has been reaped", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    pid_t pid = 0;
    auto owner = spawn([](pid_t& id) -> task<void> {
      auto child = stubborn();
      const std::string first_line = co_await line_of(child.output());
      CHECK(first_line == "ready");
      id = child.id();
      static_cast<void>(co_await child.wait());
    }(pid));
    while (!pid) co_await sleep(1ms);
    owner.cancel();
    const bool cancelled = (co_await owner.join()).cancelled();
    CHECK(cancelled);
    CHECK_FALSE(exists(pid));
  }());
  CHECK(end.returned());
  CHECK(no_children_left());
}

TEST_CASE("TIM-17: a region that was cut ends only when the child inside has been reaped", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    pid_t pid = 0;
    auto value = co_await try_timeout(20ms, [](pid_t& id) -> task<void> {
      auto child = stubborn();
      id = child.id();
      static_cast<void>(co_await child.wait());
    }(pid));
    CHECK_FALSE(value.has_value());
    CHECK_FALSE(exists(pid));
  }());
  CHECK(end.returned());
}

TEST_CASE("SIG-06: the end of the runtime reaps what is left", "[process]") {
  pid_t pid = 0;
  {
    runtime rt;
    rt.spawn([](pid_t& id) -> task<void> {
      auto child = must_spawn(process_options::command("sleep", "1000"));
      id = child.id();
      static_cast<void>(co_await child.wait());
    }(pid));
    rt.tick();
    REQUIRE(pid > 0);
  }
  CHECK_FALSE(exists(pid));
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: a handle kept in an outcome ends its child in the background", "[process]") {
  runtime rt;
  pid_t pid = 0;
  auto end = rt.run([](pid_t& id) -> task<void> {
    auto maker = spawn([]() -> task<process> { co_return must_spawn(process_options::command("sleep", "1000")); }());
    id = (co_await maker.join()).value().id();
    CHECK(exists(id));
  }(pid));
  CHECK(end.returned());
  CHECK_FALSE(exists(pid));
}

TEST_CASE("SIG-06: a child that is not to be killed on close goes on and is still reaped", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto options = process_options::command("cat");
    options.in = stdio::pipe();
    options.kill_on_close = false;
    auto child = std::make_unique<process>(must_spawn(options));
    const std::shared_ptr<detail::child> state = child->child();
    auto wait = child->wait();
    const pid_t pid = child->id();
    child.reset();
    const int code = (co_await std::move(wait))->code;
    CHECK(code == 0);
    CHECK_FALSE(exists(pid));
  }());
  CHECK(end.returned());
}

TEST_CASE("SIG-06: kill reaches the whole group", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto options = shell("(trap '' TERM; echo up; exec sleep 1000) & wait");
    options.out = stdio::pipe();
    auto child = must_spawn(options);
    const std::string first_line = co_await line_of(child.output());
    CHECK(first_line == "up");
    auto status = co_await child.kill(5ms);
    REQUIRE(status.ok());
    CHECK(status->signal == SIGTERM);
    CHECK_FALSE(child.group_alive());
    CHECK_FALSE(detail::group_runs(child.id()));
    const std::string last = co_await line_of(child.output());
    CHECK(last == "<end>");
  }());
  CHECK(end.returned());
}

TEST_CASE("SIG-06: a grace of zero kills at once, and a stopped child gets its TERM", "[process]") {
  runtime rt;
  auto end = rt.run([]() -> task<void> {
    auto rude = stubborn();
    const std::string first_line = co_await line_of(rude.output());
    CHECK(first_line == "ready");
    const int ended_by = (co_await rude.kill(0s))->signal;
    CHECK(ended_by == SIGKILL);
    auto stopped = must_spawn(process_options::command("sleep", "1000"));
    REQUIRE(stopped.signal(SIGSTOP).ok());
    const int ended_by_term = (co_await stopped.kill(1h))->signal;
    CHECK(ended_by_term == SIGTERM);
    const int once_more = (co_await stopped.kill(1h))->signal;
    CHECK(once_more == SIGTERM);
  }());
  CHECK(end.returned());
}

TEST_CASE("DLK-03: a child that somebody waits for is no deadlock, and a virtual clock stands still", "[process]") {
  virtual_clock time;
  std::string report;
  runtime rt({.time = &time, .on_stall = [&](const std::string& text) { report = text; }});
  auto end = rt.run([](virtual_clock& clock) -> task<void> {
    auto sleeper = spawn([]() -> task<void> { co_await sleep(1h); }());
    auto options = shell("read x; exit 3");
    options.in = stdio::text("go\n");
    auto child = must_spawn(options);
    const int code = (co_await child.wait())->code;
    CHECK(code == 3);
    CHECK(clock.now() == 0s);
    co_await sleeper.join();
    CHECK(clock.now() == 1h);
  }(time));
  CHECK(end.returned());
  CHECK(report.empty());
}

TEST_CASE("SIG-06: the child gets default signals, an empty mask and none of our descriptors", "[process]") {
  runtime rt;
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  for (int fd = 3; fd < 1024; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // what the test was started with
  auto end = rt.run([]() -> task<void> {
    auto options = shell("kill -PIPE $$; exit 9");
    const int ended_by = (co_await must_spawn(options).wait())->signal;
    CHECK(ended_by == SIGPIPE);
    options = shell("ls /proc/self/fd | tr '\\n' ' '");
    options.in = options.out = options.err = stdio::pipe();
    auto child = must_spawn(options);
    const std::string open = co_await line_of(child.output());
    CHECK(open == "0 1 2 3 ");
    options = shell("ps -o pgid= -p $$ | tr -d ' '");
    options.out = stdio::pipe();
    auto grouped = must_spawn(options);
    const std::string group = co_await line_of(grouped.output());
    CHECK(group == std::to_string(grouped.id()));
    options.own_group = false;
    auto ours = must_spawn(options);
    const std::string our_group = co_await line_of(ours.output());
    CHECK(our_group == std::to_string(::getpgrp()));
  }());
  std::signal(SIGPIPE, before);
  CHECK(end.returned());
}
