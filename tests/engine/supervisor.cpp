// supervisor in C++: who is restarted, when, and how it ends.
#include <perilune/supervisor.hpp>

#include <map>
#include <string>
#include <vector>

#include <perilune/scope.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

// Children that note their starts and ends; `fails[name]` is the instant at which that child fails, once.
struct crew {
  trace seen;
  std::map<std::string, duration> fails;

  child_spec operator()(std::string name) {
    return {.name = name, .start = [this, name] { return work(*this, name); }};
  }
  std::string taken() {
    std::string all;
    for (const std::string& each : std::exchange(seen, {})) all += (all.empty() ? "" : " ") + each;
    return all;
  }

 private:
  static task<> work(crew& c, std::string name) {
    c.seen.push_back("+" + name);
    const closer guard(c.seen, "-" + name);
    const auto planned = c.fails.find(name);
    if (planned == c.fails.end()) co_await sleep(duration::max());
    const duration at = planned->second;
    c.fails.erase(planned);
    co_await sleep_until(at);
    throw std::runtime_error(name + " broke");
  }
};

void quiet(const child_spec&, const error&) {}

task<> end_of(task_handle<void> supervised) {
  supervised.cancel();
  const auto& end = co_await supervised.join();
  CHECK(end.cancelled());
}

std::vector<child_spec> abc(crew& c) { return {c("a"), c("b"), c("c")}; }

}  // namespace

TEST_CASE("SUP-01: one_for_one restarts only the child that failed") {
  world w;
  crew c{.fails = {{"b", 1s}}};
  w.run([&]() -> task<> {
    const auto t = spawn(supervisor({.children = abc(c), .on_failure = quiet}));
    co_await sleep(2s);
    CHECK(c.taken() == "+a +b +c -b +b");
    co_await end_of(t);
    CHECK(c.taken() == "-c -b -a");
  });
}

namespace {

// Notes when it starts, and fails after the next of `runs`; after the last it stays.
task<> flaky(std::vector<duration>& starts, std::vector<duration>& runs, instant begun) {
  starts.push_back(now() - begun);
  const duration span = runs.empty() ? duration::max() : runs.front();
  if (!runs.empty()) runs.erase(runs.begin());
  co_await sleep(span);
  throw std::runtime_error("again");
}

}  // namespace

TEST_CASE(
    "SUP-07: restarts come after a pause that grows, and that is short again after a child that ran for the period") {
  world w;
  std::vector<duration> starts;
  std::vector<duration> runs{0s, 0s, 6s, 0s};
  w.run([&]() -> task<> {
    const instant begun = now();
    child_spec spec{.name = "flaky", .start = [&, begun] { return flaky(starts, runs, begun); }};
    spec.pauses = {.first = 1s, .max = 8s};
    supervisor_options options{.intensity = 100, .period = 5s, .children = {spec}, .on_failure = quiet};
    const auto t = spawn(supervisor(std::move(options)));
    co_await sleep(60s);
    co_await end_of(t);
  });
  CHECK(starts == std::vector<duration>{0s, 1s, 3s, 10s, 12s});
}

TEST_CASE("SUP-02: one_for_all stops all in reverse order and starts all in order") {
  world w;
  crew c{.fails = {{"b", 1s}}};
  w.run([&]() -> task<> {
    const auto t =
        spawn(supervisor({.strategy = restart_strategy::one_for_all, .children = abc(c), .on_failure = quiet}));
    co_await sleep(2s);
    CHECK(c.taken() == "+a +b +c -b -c -a +a +b +c");
    co_await end_of(t);
  });
}

TEST_CASE("SUP-03: rest_for_one cycles only those started after it") {
  world w;
  crew c{.fails = {{"b", 1s}}};
  w.run([&]() -> task<> {
    const auto t =
        spawn(supervisor({.strategy = restart_strategy::rest_for_one, .children = abc(c), .on_failure = quiet}));
    co_await sleep(2s);
    CHECK(c.taken() == "+a +b +c -b -c +b +c");
    co_await end_of(t);
  });
}

TEST_CASE("SUP-04: more failures than the intensity allows end the supervisor") {
  world w;
  crew c;
  w.run([&]() -> task<> {
    int count = 0;
    const auto bad = [&]() -> task<> {
      co_await sleep(2s);
      ++count;
      throw std::runtime_error("again");
    };
    std::vector<child_spec> children{c("steady"), {.name = "bad", .start = bad}};
    const auto t =
        spawn(supervisor({.intensity = 1, .period = 5s, .children = std::move(children), .on_failure = quiet}));
    const auto& end = co_await t.join();
    REQUIRE(end.failed());
    CHECK(end.error().message ==
          "restart intensity exceeded: 2 restarts within 5 s; the last: std::runtime_error: again");
    try {
      std::rethrow_exception(end.exception());
    } catch (const restart_intensity_exceeded& e) {
      CHECK(e.failures().size() == 2);
    }
    CHECK(count == 2);
    CHECK(now() == 4s);
    CHECK(c.taken() == "+steady -steady");
  });
}

TEST_CASE("SUP-04: failures further apart than the period go on") {
  world w;
  w.run([&]() -> task<> {
    int count = 0;
    const auto slow = [&]() -> task<> {
      co_await sleep(6s);
      ++count;
      throw std::runtime_error("again");
    };
    std::vector<child_spec> children{{.name = "slow", .start = slow}};
    const auto t =
        spawn(supervisor({.intensity = 1, .period = 5s, .children = std::move(children), .on_failure = quiet}));
    co_await sleep(60s);
    CHECK(count == 9);
    co_await end_of(t);
  });
}

TEST_CASE("SUP-05: permanent always, transient only after a failure, temporary never") {
  world w;
  w.run([&]() -> task<> {
    std::map<std::string, int> starts;
    trace failures;
    const auto child = [&](std::string name, restart_kind kind, bool fails) -> child_spec {
      const auto start = [&starts, name, fails]() -> task<> {
        const int nth = ++starts[name];
        co_await sleep(1s);
        if (nth > 1) co_await sleep(duration::max());
        if (fails) throw std::runtime_error("broken");
      };
      return {.name = name, .start = start, .restart = kind};
    };
    std::vector<child_spec> children;
    children.push_back(child("permanent ends", restart_kind::permanent, false));
    children.push_back(child("permanent fails", restart_kind::permanent, true));
    children.push_back(child("transient ends", restart_kind::transient, false));
    children.push_back(child("transient fails", restart_kind::transient, true));
    children.push_back(child("temporary ends", restart_kind::temporary, false));
    children.push_back(child("temporary fails", restart_kind::temporary, true));
    const auto note_failure = [&](const child_spec& of, const error&) { failures.push_back(of.name); };
    const auto t = spawn(supervisor({.intensity = 9, .children = std::move(children), .on_failure = note_failure}));
    co_await sleep(5s);
    CHECK(starts["permanent ends"] == 2);
    CHECK(starts["permanent fails"] == 2);
    CHECK(starts["transient ends"] == 1);
    CHECK(starts["transient fails"] == 2);
    CHECK(starts["temporary ends"] == 1);
    CHECK(starts["temporary fails"] == 1);
    CHECK(failures == trace{"permanent fails", "transient fails", "temporary fails"});
    co_await end_of(t);
  });
}

TEST_CASE("SUP-05: a supervisor whose children have all ended for good returns") {
  world w;
  w.run([&]() -> task<> {
    std::vector<child_spec> children{{.start = [] { return sleeper(1s); }, .restart = restart_kind::transient}};
    supervisor_options options{.children = std::move(children)};
    co_await supervisor(std::move(options));
    CHECK(now() == 1s);
  });
}

TEST_CASE("SUP-06: a child that outlives its shutdown time is killed, and the next one's turn comes") {
  world w;
  crew c;
  w.run([&]() -> task<> {
    const auto stubborn = [&]() -> task<> {
      const closer guard(c.seen, "killed");
      co_await shield(sleeper(1h));
    };
    std::vector<child_spec> children{c("first"), {.name = "stubborn", .start = stubborn, .shutdown = 2s}};
    const auto t = spawn(supervisor({.children = std::move(children)}));
    co_await sleep(1s);
    co_await end_of(t);
    CHECK(c.taken() == "+first killed -first");
    CHECK(now() == 3s);
  });
}

TEST_CASE("SUP-07: restarts after a pause that grows, at exact instants") {
  world w;
  w.run([&]() -> task<> {
    std::vector<instant> instants;
    const auto flaky = [&]() -> task<> {
      instants.push_back(now());
      return fail("again");
    };
    std::vector<child_spec> children{{.start = flaky, .pauses = {.first = 1s, .max = 8s}}};
    const auto t = spawn(supervisor({.intensity = 100, .children = std::move(children), .on_failure = quiet}));
    co_await sleep(40s);
    const std::vector<instant> expected{0s, 1s, 3s, 7s, 15s, 23s, 31s, 39s};
    CHECK(instants == expected);
    co_await end_of(t);
  });
}

TEST_CASE("SUP-08: any_significant: a significant child that ends takes the supervisor with it") {
  world w;
  crew c;
  w.run([&]() -> task<> {
    std::vector<child_spec> children{
        c("other"), {.start = [] { return sleeper(3s); }, .restart = restart_kind::transient, .significant = true}};
    supervisor_options options{.children = std::move(children), .ends = auto_shutdown::any_significant};
    co_await supervisor(std::move(options));
    CHECK(c.taken() == "+other -other");
    CHECK(now() == 3s);
  });
}

TEST_CASE("SUP-08: all_significant waits for the last of them") {
  world w;
  crew c;
  w.run([&]() -> task<> {
    const auto significant = [](duration span) -> child_spec {
      return {.start = [span] { return sleeper(span); }, .restart = restart_kind::temporary, .significant = true};
    };
    std::vector<child_spec> children{significant(2s), significant(5s), c("other")};
    supervisor_options options{.children = std::move(children), .ends = auto_shutdown::all_significant};
    co_await supervisor(std::move(options));
    CHECK(now() == 5s);
  });
}

TEST_CASE("supervisor: failures that on_failure does not take are reported") {
  world w;
  w.run([&]() -> task<> {
    std::vector<child_spec> children{
        {.start = [] { return fail("broken"); }, .restart = restart_kind::temporary},
        {.start = []() -> task<> { throw std::runtime_error("no coroutine"); }, .restart = restart_kind::temporary}};
    supervisor_options options{.children = std::move(children)};
    co_await supervisor(std::move(options));
  });
  CHECK(w.unobserved == trace{"std::runtime_error: broken", "std::runtime_error: no coroutine"});
}

TEST_CASE("supervisor: inside a time limit it stops its children before the limit is told") {
  world w;
  crew c;
  w.run([&]() -> task<> {
    supervisor_options options{.children = abc(c)};
    const auto done = co_await try_timeout(2s, supervisor(std::move(options)));
    CHECK_FALSE(done.has_value());
    CHECK(c.taken() == "+a +b +c -c -b -a");
  });
}

TEST_CASE("supervisor: misuse names what is wrong") {
  world w;
  crew c;
  const auto refusal = [](supervisor_options options) -> std::string {
    try {
      const task<> never = supervisor(std::move(options));
    } catch (const task_error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(refusal({}) == "supervisor: no children");
  CHECK(refusal({.children = {{.name = "a"}}}) == "supervisor: the child 'a' has no start");
  child_spec hasty = c("b");
  hasty.pauses.factor = 0;
  CHECK(refusal({.children = {hasty}}) == "supervisor: bad backoff: the factor must be at least 1");
}
