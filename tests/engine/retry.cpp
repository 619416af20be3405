// retry in C++: attempts, pauses, and what passes through in the end.
#include <perilune/retry.hpp>

#include <memory>
#include <string>

#include <perilune/scope.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

// A function that fails so many times, and the instants of its calls since the start.
class flaky {
 public:
  explicit flaky(unsigned failures) : failures_(failures) {}
  task<int> operator()() {
    instants->push_back(now());
    const auto calls = instants->size();
    co_await yield();
    if (calls <= failures_) throw std::runtime_error("failure " + std::to_string(calls));
    co_return static_cast<int>(calls);
  }
  std::shared_ptr<std::vector<instant>> instants = std::make_shared<std::vector<instant>>();

 private:
  unsigned failures_;
};

task<int> value_after_an_hour() {
  co_await sleep(1h);
  co_return 1;
}

// What `body` throws.
task<std::string> thrown_by(task<int> body) {
  std::string text;
  try {
    co_await body;
  } catch (...) {
    text = text_of(std::current_exception());
  }
  co_return text;
}

}  // namespace

TEST_CASE("retry: yields what the first success returns") {
  world w;
  w.run([]() -> task<> {
    const flaky fn(2);
    const int value = co_await retry({.attempts = 3}, fn);
    CHECK(value == 3);
    const auto owned = co_await retry({}, []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); });
    CHECK(*owned == 5);
    co_await retry({}, [] { return sleeper(1s); });
    CHECK(now() == 1s);
  });
}

TEST_CASE("retry: exact instants: doubled, and never above the most") {
  world w;
  w.run([]() -> task<> {
    const flaky fn(5), steep(3);
    co_await retry({.attempts = 6, .pauses = {.first = 1s, .max = 5s}}, fn);
    CHECK(*fn.instants == std::vector<instant>{0s, 1s, 3s, 7s, 12s, 17s});
    co_await retry({.attempts = 4, .pauses = {.first = 1s, .factor = 3}}, steep);
    CHECK(*steep.instants == std::vector<instant>{17s, 18s, 21s, 30s});
  });
}

TEST_CASE("retry: jitter shortens pauses, each by its own part") {
  world w;
  w.run([]() -> task<> {
    const flaky fn(20);
    co_await retry({.attempts = 21, .pauses = {.first = 1s, .max = 1s, .jitter = 0.5}}, fn);
    bool different = false;
    for (std::size_t i = 1; i < fn.instants->size(); ++i) {
      const duration pause = (*fn.instants)[i] - (*fn.instants)[i - 1];
      CHECK((pause >= 500ms && pause <= 1s));
      different = different || pause != (*fn.instants)[1] - (*fn.instants)[0];
    }
    CHECK(different);
  });
}

TEST_CASE("retry: the last failure passes through") {
  world w;
  w.run([]() -> task<> {
    const flaky fn(9);
    const std::string text = co_await thrown_by(retry({}, fn));
    CHECK(text == "std::runtime_error: failure 3");
  });
}

TEST_CASE("retry: retry_if decides, with the error and the number of the attempt") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    const flaky fn(9);
    const auto twice = [&](const error& e, unsigned attempt) {
      seen.push_back(std::to_string(attempt) + " " + e.message);
      return attempt < 2;
    };
    const std::string text = co_await thrown_by(retry({.attempts = retry_options::unlimited, .retry_if = twice}, fn));
    CHECK(text == "std::runtime_error: failure 2");
  });
  CHECK(seen == trace{"1 std::runtime_error: failure 1", "2 std::runtime_error: failure 2"});
}

TEST_CASE("retry: cancellation is never retried, neither in an attempt nor in a pause") {
  world w;
  w.run([]() -> task<> {
    int calls = 0;
    const auto slow = [&]() -> task<int> {
      ++calls;
      co_await sleep(1h);
      co_return 1;
    };
    const flaky fn(9);
    auto in_attempt = spawn(retry({}, slow));
    auto in_pause = spawn(retry({.pauses = {.first = 10s}}, fn));
    co_await sleep(1s);
    in_attempt.cancel();
    in_pause.cancel();
    const auto& attempted = co_await in_attempt.join();
    const auto& paused = co_await in_pause.join();
    CHECK((attempted.cancelled() && paused.cancelled()));
    CHECK(calls == 1);
    CHECK(fn.instants->size() == 1);
  });
}

TEST_CASE("retry: a time limit inside is an error like any other") {
  world w;
  w.run([]() -> task<> {
    int calls = 0;
    const auto slow = [&]() -> task<int> {
      if (++calls == 1) co_await timeout(1s, sleeper(1h));
      co_return calls;
    };
    const int value = co_await retry({.attempts = 2}, slow);
    CHECK(value == 2);
    CHECK(now() == 1s);
    const std::string text =
        co_await thrown_by(retry({.attempts = 2}, [] { return timeout(1s, value_after_an_hour()); }));
    CHECK(text == "timed out");
    CHECK(now() == 3s);
  });
}

TEST_CASE("retry: misuse names what is wrong") {
  world w;
  w.run([]() -> task<> {
    const std::string attempts = co_await thrown_by(retry({.attempts = 0}, flaky(0)));
    CHECK(attempts == "retry: attempts must be at least 1, got 0");
    const std::string jitter = co_await thrown_by(retry({.pauses = {.jitter = 2}}, flaky(0)));
    CHECK(jitter == "retry: bad backoff: the jitter must be from 0 to 1");
    const std::string factor = co_await thrown_by(retry({.pauses = {.factor = 0.5}}, flaky(0)));
    CHECK(factor == "retry: bad backoff: the factor must be at least 1");
  });
}
