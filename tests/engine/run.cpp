// run(): feeding, collecting, limits and endings; what a start that fails says.
#include <perilune/process.hpp>
#include <perilune/runtime.hpp>
#include <perilune/scope.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_group.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

run_options shell(const std::string& script) { return run_options(process_options::command("/bin/sh", "-c", script)); }

result<run_result> run_alone(run_options options) {
  runtime rt;
  auto end = rt.run(run(std::move(options)));
  REQUIRE(end.returned());
  return std::move(end).value();
}

bool no_children_left() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

}  // namespace

TEST_CASE("SIG-06: run collects both streams and tells the code", "[process]") {
  const auto end = run_alone(shell("echo out; echo err >&2; exit 3"));
  REQUIRE(end.ok());
  CHECK(end->status.code == 3);
  CHECK(end->out == "out\n");
  CHECK(end->err == "err\n");
  CHECK(end->stopped_by == run_stop::none);
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: run feeds and collects at the same time, more than the pipes hold", "[process]") {
  const std::string text(3'000'000, 'x');
  auto options = shell("tee /dev/stderr");
  options.in = stdio::text(text);
  const auto end = run_alone(std::move(options));
  REQUIRE(end.ok());
  CHECK(end->out == text);
  CHECK(end->err == text);
}

TEST_CASE("SIG-06: a child that does not read its input is no failure, and no SIGPIPE", "[process]") {
  auto options = shell("exec 0<&-; echo done");
  options.in = stdio::text(std::string(1'000'000, 'x'));
  const auto end = run_alone(std::move(options));
  REQUIRE(end.ok());
  CHECK(end->out == "done\n");
}

TEST_CASE("SIG-06: a child over its time is ended with all it has started", "[process]") {
  auto options = shell("echo begun; sleep 1000 & sleep 1000");
  options.timeout = 600ms;
  const auto end = run_alone(std::move(options));
  REQUIRE(end.ok());
  CHECK(end->stopped_by == run_stop::timeout);
  CHECK(end->status.signal == SIGTERM);
  CHECK(end->out == "begun\n");
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: the time limit holds while only a grandchild keeps the output open", "[process]") {
  auto options = shell("echo begun; sleep 1000 & exit 0");
  options.timeout = 600ms;
  const auto end = run_alone(std::move(options));
  REQUIRE(end.ok());
  CHECK(end->stopped_by == run_stop::timeout);
  CHECK(end->status.code == 0);
  CHECK(end->out == "begun\n");
}

TEST_CASE("SIG-06: too much output ends the child and keeps what fits", "[process]") {
  auto options = run_options(process_options::command("yes"));
  options.output_limit = 1000;
  const auto end = run_alone(std::move(options));
  REQUIRE(end.ok());
  CHECK(end->stopped_by == run_stop::output_limit);
  CHECK(end->out.size() == 1000);
  CHECK(end->out.substr(0, 4) == "y\ny\n");
}

TEST_CASE("SIG-06: a cancelled run is over when its group is gone", "[process]") {
  temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<pid_t> {
    auto options =
        shell("trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $$ > pid.new; mv pid.new pid; wait; sleep 1000");
    options.cwd = in.path();
    options.grace = 1ms;
    auto running = spawn(run(std::move(options)));
    std::string text;
    while ((text = in.read("pid")).empty()) co_await sleep(1ms);
    running.cancel();
    const bool cancelled = (co_await running.join()).cancelled();
    CHECK(cancelled);
    const pid_t group = std::atoi(text.c_str());
    CHECK_FALSE(detail::group_runs(group));
    CHECK(::kill(group, 0) == -1);
    co_return group;
  }(folder));
  REQUIRE(end.returned());
  CHECK(end.value() > 0);
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: what cannot start says what and why", "[process]") {
  temp_folder folder;
  folder.write("plain.txt", "no program");
  const auto failure = [](run_options options) {
    auto end = run_alone(std::move(options));
    REQUIRE_FALSE(end.ok());
    return end.error();
  };
  auto missing = failure(run_options(process_options::command("no-such-program-here")));
  CHECK(missing.kind == error_kind::io);
  CHECK(missing.code == ENOENT);
  CHECK(missing.message == "spawn no-such-program-here: No such file or directory");

  const std::string plain = folder.path() + "/plain.txt";
  CHECK(failure(run_options(process_options::command(plain))).message == "spawn " + plain + ": Permission denied");

  auto elsewhere = run_options(process_options::command("true"));
  elsewhere.cwd = folder.path() + "/none";
  CHECK(failure(elsewhere).message == "spawn true in " + folder.path() + "/none: No such file or directory");

  auto redirected = run_options(process_options::command("true"));
  redirected.in = stdio::file(folder.path() + "/none");
  CHECK(failure(redirected).message == "spawn true: open " + folder.path() + "/none: No such file or directory");

  CHECK(failure(run_options()).kind == error_kind::misuse);
  CHECK(failure(run_options(process_options::command("echo", std::string("a\0b", 3)))).kind == error_kind::misuse);
  CHECK(no_children_left());
}

TEST_CASE("SIG-06: environment, folder and files of a child", "[process]") {
  temp_folder folder;
  folder.write("in", "from a file\n");
  auto options = shell("cat; echo $A-$B-$HOME; pwd; echo problem >&2");
  options.cwd = folder.path();
  options.env = {{"A", "1"}, {"B", ""}, {"HOME", std::nullopt}};
  options.in = stdio::file(folder.path() + "/in");
  options.out = stdio::append(folder.path() + "/log");
  options.err = stdio::output();
  folder.write("log", "before\n");
  const auto end = run_alone(options);
  REQUIRE(end.ok());
  CHECK(end->out.empty());
  CHECK(folder.read("log") == "before\nfrom a file\n1--\n" + folder.path() + "\nproblem\n");

  auto bare = run_options(process_options::command("/usr/bin/env"));
  bare.clear_env = true;
  bare.env = {{"ONLY", "this"}};
  CHECK(run_alone(bare)->out == "ONLY=this\n");

  auto own_path = run_options(process_options::command("tool"));
  folder.write("tool", "#!/bin/sh\necho tool\n");
  REQUIRE(::chmod((folder.path() + "/tool").c_str(), 0755) == 0);
  own_path.env = {{"PATH", folder.path()}};
  CHECK(run_alone(own_path)->out == "tool\n");
}
