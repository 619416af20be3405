// Channels between two workers, for C++ tasks. Usage: more_cores WORKLOAD N
// Prints one line, "ns=<nanoseconds of the timed part> ops=<operations>", and exits 3 for an unknown name.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <perilune/remote.hpp>
#include <perilune/shared_channel.hpp>

namespace {

using namespace perilune;

task<long> add_up(shared_channel<long> from) {
  long sum = 0;
  for (;;) {
    const auto got = co_await from.recv();
    if (!got) co_return sum;
    sum += *got;
  }
}

// Values through a bounded channel to a task on the other worker.
task<long> throughput(runtime& rt, long n) {
  const shared_channel<long> ch(128);
  auto sum = spawn_on(rt, 1, add_up(ch));
  for (long i = 0; i < n; ++i) co_await ch.send(i);
  ch.close();
  auto end = co_await sum.join();
  if (std::move(end).unwrap() != n * (n - 1) / 2) std::abort();
  co_return n;
}

task<void> echo(shared_channel<long> from, shared_channel<long> to) {
  while (auto got = co_await from.recv()) co_await to.send(*got);
}

// A value there and one back, over two channels of capacity 1.
task<long> roundtrip(runtime& rt, long n) {
  const shared_channel<long> there(1), back(1);
  auto other = spawn_on(rt, 1, echo(there, back));
  for (long i = 0; i < n; ++i) {
    co_await there.send(i);
    const auto got = co_await back.recv();
    if (got != i) std::abort();
  }
  there.close();
  auto end = co_await other.join();
  static_cast<void>(end);
  co_return n;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 3;
  const std::string_view name = argv[1];
  const long n = std::atol(argv[2]);
  runtime rt({.workers = 2});
  if (name != "throughput" && name != "roundtrip") return 3;
  const auto begun = std::chrono::steady_clock::now();
  const auto end = rt.run(name == "throughput" ? throughput(rt, n) : roundtrip(rt, n));
  const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - begun;
  if (!end.returned()) return 1;
  std::printf("ns=%lld ops=%ld\n", static_cast<long long>(spent.count()), end.value());
}
