// Waiting allocates nothing: once its frames exist, a task sends, receives, selects, sleeps and yields without a single
// allocation. This program counts every call of operator new; its own, since the count belongs to the whole process.
#include <array>
#include <cstdlib>
#include <new>

#include <perilune/channel.hpp>
#include <perilune/select.hpp>

#include "engine/world.hpp"

namespace {

std::size_t allocations = 0;

void* counted(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace perilune::test {

namespace {

using numbers = channel<long>;
constexpr long warm_up = 300;  // more than a budget of operations, so that forced yields are part of what is measured
constexpr long rounds = 1000;

task<> feed(numbers to) {
  for (long i = 0; i < warm_up + rounds; ++i) co_await to.send(i);
}

// Runs `step` until it is warm, and then counts what it allocates. The partner that it waits for runs meanwhile.
template <class Step>
task<std::size_t> allocated_by(Step step) {
  for (long i = 0; i < warm_up; ++i) co_await step();
  const std::size_t before = allocations;
  for (long i = 0; i < rounds; ++i) co_await step();
  co_return allocations - before;
}

task<std::size_t> received_from(std::size_t capacity) {
  numbers values(capacity);
  auto feeder = spawn(feed(values));
  const std::size_t allocated = co_await allocated_by([&]() -> task<> { co_await values.recv(); });
  co_await feeder.join();
  co_return allocated;
}

task<std::size_t> selected_from_four() {
  std::array<numbers, 4> c{numbers(0), numbers(1), numbers(0), numbers(1)};
  auto feeder = spawn(feed(c[0]));
  const std::size_t allocated = co_await allocated_by(
      [&]() -> task<> { co_await select(c[0].recv_op(), c[1].recv_op(), c[2].recv_op(), c[3].recv_op()); });
  co_await feeder.join();
  co_return allocated;
}

}  // namespace

TEST_CASE("Wait path: a value handed over through a channel allocates nothing, on either side") {
  const auto capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{64});
  world w;
  CHECK(w.run([&] { return received_from(capacity); }) == 0);
}

TEST_CASE("Wait path: a select that waits allocates nothing") {
  world w;
  CHECK(w.run(selected_from_four) == 0);
}

TEST_CASE("Wait path: sleeping and yielding allocate nothing") {
  world w;
  CHECK(w.run([] { return allocated_by([]() -> task<> { co_await sleep(1ms); }); }) == 0);
  CHECK(w.run([] { return allocated_by([]() -> task<> { co_await yield(); }); }) == 0);
}

TEST_CASE("Wait path: the count sees what is allocated") {
  world w;
  const auto allocated = [] {
    return allocated_by([]() -> task<> {
      delete new long(1);
      co_return;
    });
  };
  CHECK(w.run(allocated) == static_cast<std::size_t>(rounds));
}

}  // namespace perilune::test
