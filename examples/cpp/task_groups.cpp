// Several coroutines as one: all, settle, race, map, retry, a supervisor, and a sequence whose elements are worked on at once.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <perilune/clock.hpp>
#include <perilune/groups.hpp>
#include <perilune/retry.hpp>
#include <perilune/runtime.hpp>
#include <perilune/sequence.hpp>
#include <perilune/supervisor.hpp>

using namespace std::chrono_literals;
using perilune::task;

namespace {

task<std::string> fetch(std::string from, std::chrono::seconds takes) {
  co_await perilune::sleep(takes);
  if (from.empty()) throw std::runtime_error("no address");
  co_return "page of " + from;
}

int seconds_so_far() { return static_cast<int>(perilune::now() / 1s); }

task<> whole_program() {
  // All values, or a group of failures. The first failure cancels the others.
  const auto pages = co_await perilune::all(fetch("a", 1s), fetch("b", 2s));
  std::printf("%s, %s after %d s\n", std::get<0>(pages).c_str(), std::get<1>(pages).c_str(), seconds_so_far());

  // Every outcome, however each has ended.
  const auto ends = co_await perilune::settle(fetch("a", 1s), fetch("", 1s));
  std::printf("%s; %s\n", std::get<0>(ends).value().c_str(), std::get<1>(ends).error().message.c_str());

  // The first to return. The losers have been cancelled and have ended by now.
  const auto won = co_await perilune::race(fetch("slow", 60s), fetch("fast", 1s));
  std::printf("mirror %zu won\n", won.index());

  // Two at a time, values in the order of the items.
  const std::vector<std::string> addresses{"x", "y", "z"};
  const auto mapped =
      co_await perilune::map(addresses, [](const std::string& from) { return fetch(from, 1s); }, {.concurrency = 2});
  std::printf("%zu pages after %d s\n", mapped.size(), seconds_so_far());

  // Again after 1 s, then 2 s, until it returns.
  int calls = 0;
  const auto flaky = [&calls]() { return fetch(++calls < 3 ? "" : "d", 0s); };
  const auto page = co_await perilune::retry({.attempts = 5, .pauses = {.first = 1s}}, flaky);
  std::printf("%s at attempt %d\n", page.c_str(), calls);

  // A child that fails is started again.
  int starts = 0;
  const auto work = [&starts]() -> task<> {
    if (++starts == 1) throw std::runtime_error("broken");
    co_await perilune::sleep(1s);
  };
  perilune::supervisor_options options;
  options.children.push_back({.name = "worker", .start = work, .restart = perilune::restart_kind::transient});
  options.on_failure = [](const perilune::child_spec& child, const perilune::error& e) {
    std::printf("%s failed: %s\n", child.name.c_str(), e.message.c_str());
  };
  co_await perilune::supervisor(std::move(options));
  std::printf("%d starts\n", starts);

  // Pulled: nothing is fetched before somebody asks, and then two at once.
  auto lengths = perilune::make_sequence(addresses)
                     .buffered(2, [](std::string from) { return fetch(from + from, 1s); })
                     .map([](const std::string& text) { return text.size(); });
  const auto first_two = co_await std::move(lengths).take(2).collect();
  std::printf("%zu and %zu characters\n", first_two[0], first_two[1]);
}

}  // namespace

int main() {
  perilune::virtual_clock time;  // seconds pass at once
  perilune::runtime_options options;
  options.time = &time;
  perilune::runtime rt(options);
  return rt.run(whole_program()).returned() ? 0 : 1;
}
