// The common workloads on the engine's public API, one task program each. Usage: workloads NAME N
// Prints one line, "ns=<nanoseconds of the timed part> ops=<operations> [k=v]", and exits 3 for an unknown name.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include <perilune/channel.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

namespace {

using namespace std::chrono_literals;
using perilune::channel;
using perilune::spawn;
using perilune::task;
using perilune::task_handle;

using numbers = channel<long>;
using handles = std::vector<task_handle<long>>;

// The timed part of a workload; a workload that times only a part of itself starts it again and stops it early.
class stopwatch {
 public:
  void start() noexcept { begun_ = now(); }
  void stop() noexcept { spent_ = now() - begun_; }
  void stop_unless_stopped() noexcept {
    if (spent_ == 0) stop();
  }
  void set(std::int64_t ns) noexcept { spent_ = ns; }
  std::int64_t ns() const noexcept { return spent_; }
  std::int64_t so_far() const noexcept { return now() - begun_; }

 private:
  static std::int64_t now() noexcept { return std::chrono::steady_clock::now().time_since_epoch() / 1ns; }
  std::int64_t begun_ = now();
  std::int64_t spent_ = 0;
};

struct measurement {
  stopwatch watch;
  long ops = 0;
  std::string extra;
};

long resident_bytes() {
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// VmHWM starts anew with the program, unlike ru_maxrss.
std::string peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return " peak_bytes=" + std::to_string(kilobytes * 1024);
  }
  return {};
}

std::int64_t cpu_ns() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto ns = [](const timeval& t) { return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_usec * 1000; };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

void require(bool holds) {
  if (!holds) std::abort();
}

task<long> identity(long value) { co_return value; }

task<long> yields(long times) {
  for (long i = 0; i < times; ++i) co_await perilune::yield();
  co_return 0;
}

task<long> echo(numbers from, numbers to, long times) {
  for (long i = 0; i < times; ++i) co_await to.send(*co_await from.recv());
  co_return 0;
}

task<long> produce(numbers to, long times) {
  for (long i = 0; i < times; ++i) co_await to.send(i);
  co_return 0;
}

task<long> feed_in_turn(std::array<numbers, 4>& to, long times) {
  for (long i = 0; i < times; ++i) co_await to[static_cast<std::size_t>(i % 4)].send(i);
  co_return 0;
}

task<long> sleeper(perilune::duration span) {
  co_await perilune::sleep(span);
  co_return 0;
}

task<long> receiver(numbers from) { co_return (co_await from.recv()).value_or(0); }

task<long> skynet(long number, long size) {
  if (size == 1) co_return number;
  std::array<task_handle<long>, 10> children;
  long sum = 0;
  for (long i = 0; i < 10; ++i)
    children[static_cast<std::size_t>(i)] = spawn(skynet(number + i * (size / 10), size / 10));
  for (auto& child : children) sum += (co_await child.join()).value();
  co_return sum;
}

long fibonacci(long n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

task<long> fibonacci_task(long n) {
  volatile long input = n;
  co_return fibonacci(input);
}

task<void> switches(measurement& m, long n) {
  auto a = spawn(yields(n / 2));
  auto b = spawn(yields(n / 2));
  co_await a.join();
  co_await b.join();
  m.ops = n / 2 * 2;
}

task<void> spawn_one_by_one(measurement& m, long n) {
  long sum = 0;
  for (long i = 0; i < n; ++i) sum += (co_await spawn(identity(i)).join()).value();
  require(sum == n * (n - 1) / 2);
  m.ops = n;
}

task<void> spawn_in_batches(measurement& m, long n) {
  constexpr long size = 1000;
  handles batch(size);
  long sum = 0;
  for (long b = 0; b < n / size; ++b) {
    for (long i = 0; i < size; ++i) batch[static_cast<std::size_t>(i)] = spawn(identity(i));
    for (auto& h : batch) sum += (co_await h.join()).value();
  }
  require(sum == size * (size - 1) / 2 * (n / size));
  m.ops = n;
}

task<void> ping_pong(measurement& m, long n) {
  numbers there(1), back(1);
  auto partner = spawn(echo(there, back, n));
  for (long i = 0; i < n; ++i) {
    co_await there.send(i);
    co_await back.recv();
  }
  co_await partner.join();
  m.ops = n;
}

task<void> bounded_channel(measurement& m, long n, long producers) {
  numbers values(64);
  handles all;
  for (long p = 0; p < producers; ++p) all.push_back(spawn(produce(values, n / producers)));
  for (long i = 0; i < n / producers * producers; ++i) co_await values.recv();
  for (auto& h : all) co_await h.join();
  m.ops = n;
}

task<void> chain(measurement& m, long n) {
  constexpr std::size_t length = 1000;
  std::vector<numbers> links;
  for (std::size_t i = 0; i <= length; ++i) links.emplace_back(1U);
  handles all;
  for (std::size_t i = 0; i < length; ++i) all.push_back(spawn(echo(links[i], links[i + 1], n)));
  co_await perilune::yield();
  m.watch.start();
  for (long i = 0; i < n; ++i) {
    co_await links.front().send(i);
    co_await links.back().recv();
  }
  m.watch.stop();
  for (auto& h : all) co_await h.join();
  m.ops = n * static_cast<long>(length);
}

task<void> skynet_tree(measurement& m, long n) {
  const long sum = (co_await spawn(skynet(0, n)).join()).value();
  require(sum == n * (n - 1) / 2);
  m.watch.stop();
  m.extra = peak_bytes();
  m.ops = n;
}

// Sleepers of 1 to 1000 ms; the figure is the processor time.
task<void> sleepers(measurement& m, long n) {
  std::mt19937 random(7);
  std::uniform_int_distribution<long> span(1, 1000);
  const std::int64_t cpu = cpu_ns();
  handles all;
  all.reserve(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) all.push_back(spawn(sleeper(std::chrono::milliseconds(span(random)))));
  co_await perilune::yield();
  for (auto& h : all) co_await h.join();
  m.extra = " wall_ms=" + std::to_string(m.watch.so_far() / 1'000'000);
  m.watch.set(cpu_ns() - cpu);
  m.ops = n;
}

template <class Make>
task<void> parked(measurement& m, long n, Make make) {
  const long before = resident_bytes();
  handles all(static_cast<std::size_t>(n));
  for (auto& h : all) h = spawn(make());
  co_await perilune::yield();
  m.watch.stop();
  m.extra = " bytes_per=" + std::to_string((resident_bytes() - before) / n);
  m.ops = n;
  for (auto& h : all) h.cancel();
}

task<void> select_ready(measurement& m, long n) {
  std::array<numbers, 4> c{numbers(1), numbers(1), numbers(1), numbers(1)};
  for (long i = 0; i < n; ++i) {
    co_await c[static_cast<std::size_t>(i % 4)].send(i);
    co_await perilune::select(c[0].recv_op(), c[1].recv_op(), c[2].recv_op(), c[3].recv_op());
  }
  m.ops = n;
}

task<void> select_fed(measurement& m, long n) {
  std::array<numbers, 4> c{numbers(1), numbers(1), numbers(1), numbers(1)};
  auto feeder = spawn(feed_in_turn(c, n));
  for (long i = 0; i < n; ++i)
    co_await perilune::select(c[0].recv_op(), c[1].recv_op(), c[2].recv_op(), c[3].recv_op());
  co_await feeder.join();
  m.ops = n;
}

template <class Make>
task<void> cancel_and_join(measurement& m, long n, Make make) {
  handles all(static_cast<std::size_t>(n));
  for (auto& h : all) h = spawn(make());
  co_await perilune::yield();
  m.extra = " spawn_ns=" + std::to_string(m.watch.so_far() / n);
  m.watch.start();
  for (auto& h : all) h.cancel();
  for (auto& h : all) co_await h.join();
  m.ops = n;
}

// 64 calls of fib(n), on as many workers as the environment's T says.
task<void> fan_out(measurement& m, long n) {
  handles all;
  for (int i = 0; i < 64; ++i) all.push_back(spawn(fibonacci_task(n)));
  for (auto& h : all) co_await h.join();
  m.ops = 64;
}

task<void> workload(std::string_view name, measurement& m, long n) {
  numbers silent(1);
  const auto sleeping = [] { return sleeper(1000s); };
  if (name == "w1") return switches(m, n);
  if (name == "w2seq") return spawn_one_by_one(m, n);
  if (name == "w2batch") return spawn_in_batches(m, n);
  if (name == "w3") return ping_pong(m, n);
  if (name == "w4a") return bounded_channel(m, n, 1);
  if (name == "w4b") return bounded_channel(m, n, 4);
  if (name == "w5") return chain(m, n);
  if (name == "w6") return skynet_tree(m, n);
  if (name == "w7") return sleepers(m, n);
  if (name == "w9a") return select_ready(m, n);
  if (name == "w9b") return select_fed(m, n);
  if (name == "fib") return fan_out(m, n);
  if (name == "w8s") return parked(m, n, sleeping);
  if (name == "w10s") return cancel_and_join(m, n, sleeping);
  if (name == "w8") return parked(m, n, [silent] { return receiver(silent); });
  if (name == "w10c") return cancel_and_join(m, n, [silent] { return receiver(silent); });
  return {};
}

task<void> timed(measurement& m, task<void> body) {
  m.watch.start();
  co_await std::move(body);
  m.watch.stop_unless_stopped();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 3;
  measurement m;
  task<void> body = workload(argv[1], m, std::atol(argv[2]));
  if (!body) return 3;
  perilune::runtime runtime;
  const auto end = runtime.run(timed(m, std::move(body)));
  if (!end.returned()) return 1;
  std::printf("ns=%lld ops=%ld%s\n", static_cast<long long>(m.watch.ns()), m.ops, m.extra.c_str());
}
