// Cycles of waits among C++ tasks: the wait that closes one fails at once, whatever else runs.
#include <optional>

#include <perilune/blocking.hpp>
#include <perilune/fellow_runtime.hpp>
#include <perilune/scope.hpp>
#include <perilune/shared_channel.hpp>

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

// Answers until there is nothing to answer any more.
task<int> echo(shared_channel<int> questions, shared_channel<int> answers) {
  int count = 0;
  for (;;) {
    const auto got = co_await questions.recv();
    if (!got) co_return count;
    co_await answers.send(*got);
    ++count;
  }
}

// In a runtime of its own, on a thread of its own, beside the caller's.
task<std::string> echo_on_a_thread(fellow_runtime& place, shared_channel<int> questions, shared_channel<int> answers) {
  const blocking_options own_thread{.name = "echo", .crew = blocking_crew::own, .fellow = true};
  std::string end = co_await blocking(
      [&] {
        runtime_options silent;
        silent.on_stall = [](const std::string&) {};
        runtime rt(std::move(silent));
        place.admit(rt);
        const outcome<int> result = rt.run(echo(questions, answers));
        return result.failed() ? text_of(result.exception()) : std::to_string(result.value());
      },
      own_thread);
  co_return end;
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

TEST_CASE("DLK-07: runtimes whose tasks wait for each other stall together, and not before", "[threaded]") {
  world w;
  w.run([&]() -> task<> {
    shared_channel<int> questions(1), answers(0);
    fellow_runtime place(w.rt, false);
    auto other = spawn(echo_on_a_thread(place, questions, answers));
    int wrong = 0;
    for (int i = 0; i < 2000; ++i) {
      co_await questions.send(i);
      const auto got = co_await answers.recv();
      wrong += got != i;
    }
    CHECK(wrong == 0);
    CHECK(w.stalls.empty());
    std::string why;
    try {
      static_cast<void>(co_await answers.recv());
    } catch (const task_error& e) {
      why = e.what();
    }
    CHECK(mentions(why, "nothing can end the wait in recv on a shared channel"));
    CHECK(w.stalls.size() == 1);
    const outcome<std::string>& there = co_await other.join();
    CHECK(mentions(there.value(), "nothing can end the wait in recv on a shared channel"));
  });
}

TEST_CASE("DLK-05: a fellow that serves waits on when the others are in a deadlock", "[threaded]") {
  world w;
  w.run([&]() -> task<> {
    shared_channel<int> questions(1), answers(1), silent(1);
    fellow_runtime place(w.rt, true);
    auto other = spawn(echo_on_a_thread(place, questions, answers));
    bool ended = false;
    try {
      static_cast<void>(co_await silent.recv());
    } catch (const task_error& e) {
      ended = e.problem().kind == error_kind::deadlock;
    }
    CHECK(ended);
    co_await questions.send(7);
    const auto got = co_await answers.recv();
    CHECK(got == 7);
    questions.close();
    const outcome<std::string>& there = co_await other.join();
    CHECK(there.value() == "1");
  });
}
