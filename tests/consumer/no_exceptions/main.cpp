// A host that uses most of its interface, and the engine's own failures as values.
#include <perilune/host.hpp>
#include <perilune/outcome_of.hpp>
#include <perilune/retry.hpp>
#include <perilune/runtime.hpp>
#include <perilune/timer.hpp>

namespace {

struct counter {
  int count = 0;
  int add(int by) { return count += by; }
};

}  // namespace

int main() {
  perilune::manual_clock clock;
  perilune::host host({.clock = &clock, .gc = perilune::gc::manual});
  host.define("fails",
              []() -> perilune::result<int> { return perilune::error{perilune::error_kind::io, "no", 0, {}}; });
  host.define_async("now", [](int n, perilune::completion done) { done.resolve(n); });
  host.define_task("later", [](int n) -> perilune::task<int> {
    co_await perilune::sleep(std::chrono::seconds(1));
    co_return n;
  });
  host.define_task("tried", [](int n) -> perilune::task<int> {
    perilune::outcome<int> end =
        co_await perilune::outcome_of(perilune::retry({.attempts = 2}, [n]() -> perilune::task<int> { co_return n; }));
    co_return end.returned() ? end.value() : -1;
  });
  host.define_class<counter>("counter").method("add", &counter::add);
  const auto script = host.load("local c = ... return c:add(later(1) + now(2)) + tried(0), pcall(fails)");
  if (!script) return 1;
  const auto task = host.spawn(*script, {std::make_shared<counter>()});
  host.tick();
  clock.advance(std::chrono::seconds(1));
  host.tick();
  const auto end = task.outcome();
  return end.returned() && end.result().as<int>() == 3 && end.results()[1].as<bool>() == false ? 0 : 2;
}
