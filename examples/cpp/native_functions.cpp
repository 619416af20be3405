// Functions of the program's that scripts call: plain ones, ones that end later on another thread, and C++ coroutines.
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <perilune/host.hpp>
#include <perilune/timer.hpp>

using namespace std::chrono_literals;

namespace {

constexpr char script[] = R"lua(
  local peri = require "perilune"

  print("clamped:", math2.clamp(11, 0, 10))
  print("misuse: ", select(2, pcall(function() math2.clamp(1, "low", 10) end)))

  -- Three queries at once; each call suspends only its own task.
  local answers = peri.map({ "apples", "pears", "plums" }, function(fruit) return db.query(fruit) end)
  for _, answer in ipairs(answers) do print(answer) end

  print("crawled:", crawl("a page"))
  return ...
)lua";

}  // namespace

int main() {
  std::vector<std::jthread> threads;
  perilune::host host;  // one worker, driven by this thread

  host.define("math2.clamp", [](double x, double lo, double hi) { return std::clamp(x, lo, hi); });
  host.define_async("db.query", [&](perilune::args a, perilune::completion done) {  // any thread, once
    threads.emplace_back([what = a.get<std::string>(0), done] { done.resolve("rows of " + what); });
  });
  host.define_task("crawl", [](std::string url) -> perilune::task<int> {
    co_await perilune::sleep(10ms);
    co_return static_cast<int>(url.size());
  });

  const auto loaded = host.load(script, "=script");
  if (!loaded) return 1;
  const auto end = host.run(*loaded, {"release", 4});
  if (end.failed()) std::fputs(end.error().report().c_str(), stderr);
  std::printf("%s %d\n", end.results()[0].as<std::string>()->c_str(), *end.results()[1].as<int>());
  return end.returned() ? 0 : 1;
}
