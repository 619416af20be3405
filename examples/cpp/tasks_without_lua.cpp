// The engine alone: tasks that are C++20 coroutines, channels between them, and failures that are values.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <perilune/channel.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

using namespace std::chrono_literals;
using perilune::channel;
using perilune::task;

namespace {

// A coroutine runs when it is awaited, like a call, or spawned, as a task of its own.
task<int> square(int n) {
  co_await perilune::sleep(1ms);
  if (n == 13) throw std::runtime_error("13 is bad luck");
  co_return (n * n);
}

// A bounded channel holds back whoever is too fast.
task<> produce(channel<int> numbers) {
  for (const int n : {2, 3, 13, 5}) co_await numbers.send(n);
  numbers.close();
}

// Each number is worked on by a child task. Joining never throws: an outcome says how the task ended.
task<int> consume(channel<int> numbers) {
  int sum = 0;
  while (const auto n = co_await numbers.recv()) {
    const auto child = perilune::spawn(square(*n));
    const auto& end = co_await child.join();
    if (end.returned())
      sum += end.value();
    else
      std::printf("%d: %s\n", *n, end.error().message.c_str());
  }
  co_return sum;
}

// Select takes one of several operations; the other leaves no trace.
task<std::string> patience(channel<int> silent) {
  const auto first = co_await perilune::select(silent.recv_op(), perilune::sleep_op(5ms));
  co_return first.index() == 0 ? "heard something" : "heard nothing";
}

task<> nap() { co_await perilune::sleep(24h); }

task<> whole_program() {
  const channel<int> numbers(2);
  perilune::spawn(produce(numbers));
  std::printf("sum %d\n", co_await consume(numbers));
  std::printf("%s\n", (co_await patience(channel<int>(0))).c_str());

  // A cancelled task unwinds: its destructors run, its children end, and then its outcome is there.
  const auto sleeper = perilune::spawn(nap());
  co_await perilune::yield();
  sleeper.cancel("no longer needed");
  const auto& end = co_await sleeper.join();
  std::printf("%s\n", end.error().message.c_str());
}

}  // namespace

int main() {
  perilune::runtime rt;  // one worker, driven by this thread
  return rt.run(whole_program()).returned() ? 0 : 1;
}
