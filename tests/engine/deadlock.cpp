// Cycles of waits among C++ tasks: the wait that closes one fails at once, whatever else runs.
#include <optional>

#include <perilune/scope.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

// Joins a task that exists only later.
task<std::string> join_later(std::optional<task_handle<std::string>>& target, duration after) {
  co_await sleep(after);
  const outcome<std::string>& end = co_await target->join();
  if (end.failed()) co_return "saw: " + text_of(end.exception());
  co_return "returned " + end.value();
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("DLK-01: two tasks that join each other: the later join throws kind deadlock and names both") {
  world w;
  w.run([]() -> task<> {
    const auto background = spawn(sleeper(1000s), {.daemon = true});
    std::optional<task_handle<std::string>> a;
    std::optional<task_handle<std::string>> b;
    a = spawn(join_later(b, 1s));
    b = spawn(join_later(a, 3s));
    const outcome<std::string>& second = co_await b->join();
    REQUIRE(second.failed());
    const error why = describe_exception(second.exception());
    CHECK(why.kind == error_kind::deadlock);
    CHECK(mentions(why.message, label_of(b->header()) + " waits in join on " + label_of(a->header())));
    CHECK(
        mentions(why.message, label_of(a->header()) + " waits in join on " + label_of(b->header()) + " (for 2.000 s)"));
    const outcome<std::string>& first = co_await a->join();
    REQUIRE(first.returned());
    CHECK(first.value() == "saw: " + why.message);
  });
  CHECK(w.stalls.empty());
  CHECK(w.time.now() < 1000s);
}

TEST_CASE("DLK-01: a child that has joined its parent fails when the parent's body ends") {
  world w;
  w.run([]() -> task<> {
    std::optional<task_handle<std::string>> parent;
    std::optional<task_handle<std::string>> child;
    const auto body = [](auto& up, auto& down) -> task<std::string> {
      down = spawn(join_later(up, 1s));
      co_await sleep(2s);
      co_return "body";
    };
    parent = spawn(body(parent, child));
    const outcome<std::string>& end = co_await parent->join();
    REQUIRE(end.returned());
    CHECK(end.value() == "body");
    REQUIRE(child->outcome_now().failed());
    const std::string text = text_of(child->outcome_now().exception());
    CHECK(mentions(text, label_of(parent->header()) + " waits for its child " + label_of(child->header())));
  });
  CHECK(w.stalls.empty());
}

TEST_CASE("DLK-03: a time limit around a wait of the cycle will cut it: no deadlock") {
  world w;
  w.run([]() -> task<> {
    std::optional<task_handle<std::string>> a;
    std::optional<task_handle<std::string>> b;
    a = spawn(join_later(b, 1s));
    const auto limited = [](auto& target) -> task<std::string> {
      const std::optional<std::string> end = co_await try_timeout(10s, join_later(target, 2s));
      co_return end.value_or("cut");
    };
    b = spawn(limited(a));
    const outcome<std::string>& end = co_await b->join();
    REQUIRE(end.returned());
    CHECK(end.value() == "cut");
    const outcome<std::string>& other = co_await a->join();
    REQUIRE(other.returned());
    CHECK(other.value() == "returned cut");
  });
}
