// The clocks' promises and the arithmetic that keeps huge durations from overflowing.
#include <perilune/clock.hpp>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using perilune::duration;
using perilune::from_seconds;
using perilune::instant;
using perilune::saturating_add;
using perilune::to_seconds;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("TIM-05: adding huge durations stops at the end of time", "[clock]") {
  CHECK(saturating_add(2s, 3s) == 5s);
  CHECK(saturating_add(2s, -3s) == -1s);
  CHECK(saturating_add(instant::max(), duration::zero()) == instant::max());
  CHECK(saturating_add(instant::max(), 1ns) == instant::max());
  CHECK(saturating_add(instant::max() - 1ns, 1ns) == instant::max());
  CHECK(saturating_add(1ns, duration::max()) == instant::max());
  CHECK(saturating_add(0ns, duration::max()) == instant::max());
  CHECK(saturating_add(-1ns, duration::max()) == instant::max() - 1ns);
  CHECK(saturating_add(instant::max(), duration::max()) == instant::max());
  CHECK(saturating_add(instant::min(), -1ns) == instant::min());
  CHECK(saturating_add(-1ns, duration::min()) == instant::min());
  CHECK(saturating_add(0ns, duration::min()) == duration::min());
  CHECK(saturating_add(instant::min(), duration::max()) == -1ns);
}

TEST_CASE("TIM-05: seconds become nanoseconds without overflow", "[clock]") {
  CHECK(from_seconds(0) == 0ns);
  CHECK(from_seconds(0.3) == 300ms);
  CHECK(from_seconds(1.1) == 1100ms);
  CHECK(from_seconds(86400) == 24h);
  CHECK(from_seconds(1e-9) == 1ns);
  CHECK(from_seconds(0.4e-9) == 0ns);
  CHECK(from_seconds(0.6e-9) == 1ns);
  CHECK(from_seconds(9.2e9) == duration{9'200'000'000'000'000'000});
  CHECK(from_seconds(9223372036.854775807) == duration::max());
  CHECK(from_seconds(std::nextafter(9223372036.854775807, 0.0)) < duration::max());
  CHECK(from_seconds(1e10) == duration::max());
  CHECK(from_seconds(std::numeric_limits<double>::max()) == duration::max());
  CHECK(from_seconds(infinity) == duration::max());
}

TEST_CASE("TIM-02: negative seconds and NaN become no time at all", "[clock]") {
  CHECK(from_seconds(-0.0) == 0ns);
  CHECK(from_seconds(-1) == 0ns);
  CHECK(from_seconds(-infinity) == 0ns);
  CHECK(from_seconds(std::numeric_limits<double>::quiet_NaN()) == 0ns);
}

TEST_CASE("TIM-05: nanoseconds become seconds, and forever becomes infinity", "[clock]") {
  CHECK(to_seconds(0ns) == 0.0);
  CHECK(to_seconds(1500ms) == 1.5);
  CHECK(to_seconds(-1500ms) == -1.5);
  CHECK(to_seconds(24h) == 86400.0);
  CHECK(to_seconds(duration::max()) == infinity);
}

TEST_CASE("TIM-03: the steady clock is the monotonic clock", "[clock]") {
  perilune::steady_clock steady;
  CHECK(steady.kind() == perilune::clock::mode::steady);
  const instant before = std::chrono::steady_clock::now().time_since_epoch();
  const instant read = steady.now();
  const instant after = std::chrono::steady_clock::now().time_since_epoch();
  CHECK(before <= read);
  CHECK(read <= after);
}

TEST_CASE("VIR-05: a manual clock moves when told and never back", "[clock]") {
  perilune::manual_clock manual(5s);
  CHECK(manual.kind() == perilune::clock::mode::manual);
  CHECK(manual.now() == 5s);

  CHECK(manual.advance(10s));
  CHECK(manual.advance(0s));
  CHECK(manual.now() == 15s);
  CHECK_FALSE(manual.advance(-1ns));
  CHECK(manual.now() == 15s);

  CHECK(manual.set(20s));
  CHECK(manual.set(20s));
  CHECK_FALSE(manual.set(20s - 1ns));
  CHECK(manual.now() == 20s);

  CHECK(manual.advance(duration::max()));
  CHECK(manual.now() == instant::max());
}

TEST_CASE("VIR-05: advances of a manual clock from several threads all count", "[clock]") {
  perilune::manual_clock manual;
  std::vector<std::thread> hosts;
  for (int host = 0; host < 4; ++host) {
    hosts.emplace_back([&manual] {
      for (int step = 0; step < 1000; ++step) manual.advance(1us);
    });
  }
  for (std::thread& host : hosts) host.join();
  CHECK(manual.now() == 4ms);
}

TEST_CASE("VIR-01: a virtual clock starts at zero and jumps forward only", "[clock]") {
  perilune::virtual_clock jumping;
  CHECK(jumping.kind() == perilune::clock::mode::virtual_);
  CHECK(jumping.now() == 0ns);
  CHECK(jumping.jump_to(24h));
  CHECK(jumping.jump_to(24h));
  CHECK(to_seconds(jumping.now()) == 86400.0);
  CHECK_FALSE(jumping.jump_to(1h));
  CHECK(jumping.now() == 24h);
}

TEST_CASE("VIR-09: auto-advance is on until switched off", "[clock]") {
  perilune::virtual_clock jumping;
  CHECK(jumping.auto_advance());
  jumping.auto_advance(false);
  CHECK_FALSE(jumping.auto_advance());
  CHECK(jumping.jump_to(1s));
  CHECK(jumping.now() == 1s);
  jumping.auto_advance(true);
  CHECK(jumping.auto_advance());
}
