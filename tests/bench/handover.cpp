// Hand-over through broadcast, watch, mutex and semaphore, for C++ tasks. Usage: handover WORKLOAD N
// Prints one line, "ns=<nanoseconds of the timed part> ops=<operations>", and exits 3 for an unknown name.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <perilune/broadcast.hpp>
#include <perilune/mutex.hpp>
#include <perilune/runtime.hpp>
#include <perilune/semaphore.hpp>
#include <perilune/watch.hpp>

namespace {

using namespace perilune;

constexpr long receivers = 4;

task<void> acknowledge(broadcast_receiver<long> from, channel<long> acks) {
  while (auto got = co_await from.recv()) co_await acks.send(*got.value);
}

// A value to four receivers, each of which acknowledges it; an operation is one delivery.
task<long> broadcasts(long n) {
  const broadcast<long> values(64);
  const channel<long> acks(receivers);
  for (long i = 0; i < receivers; ++i) spawn(acknowledge(values.subscribe(), acks));
  for (long i = 0; i < n; ++i) {
    values.send(i);
    for (long r = 0; r < receivers; ++r) co_await acks.recv();
  }
  values.close();
  co_return n* receivers;
}

task<void> answer(watch_receiver<long> at, watch<long> back) {
  for (;;) {
    const bool changed = co_await at.changed();
    if (!changed) co_return;
    back.set(at.get());
  }
}

// Round trips over two watches.
task<long> watches(long n) {
  const watch<long> there(0), back(0);
  const auto at_back = back.subscribe();
  spawn(answer(there.subscribe(), back));
  for (long i = 1; i <= n; ++i) {
    there.set(i);
    co_await at_back.changed();
    if (at_back.get() != i) std::abort();
  }
  there.close();
  co_return n;
}

task<void> lock_in_turn(mutex& m, long times) {
  for (long i = 0; i < times; ++i) {
    const guard held = co_await m.lock();
    co_await yield();
  }
}

// Two tasks take turns with one mutex: each keeps it over a yield, so that the other waits.
task<long> mutexes(long n) {
  mutex m;
  auto first = spawn(lock_in_turn(m, n / 2));
  auto second = spawn(lock_in_turn(m, n / 2));
  co_await first.join();
  co_await second.join();
  co_return n / 2 * 2;
}

task<void> acquire_in_turn(semaphore& s, long times) {
  for (long i = 0; i < times; ++i) {
    const auto held = co_await s.acquire();
    co_await yield();
  }
}

// Four tasks share two permits, each kept over a yield.
task<long> semaphores(long n) {
  semaphore s(2);
  std::array<task_handle<void>, 4> all;
  for (auto& each : all) each = spawn(acquire_in_turn(s, n / 4));
  for (auto& each : all) co_await each.join();
  co_return n / 4 * 4;
}

task<long> workload(std::string_view name, long n) {
  if (name == "broadcast") return broadcasts(n);
  if (name == "watch") return watches(n);
  if (name == "mutex") return mutexes(n);
  if (name == "semaphore") return semaphores(n);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 3;
  task<long> body = workload(argv[1], std::atol(argv[2]));
  if (!body) return 3;
  runtime rt;
  const auto begun = std::chrono::steady_clock::now();
  const auto end = rt.run(std::move(body));
  const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - begun;
  if (!end.returned()) return 1;
  std::printf("ns=%lld ops=%ld\n", static_cast<long long>(spent.count()), end.value());
}
