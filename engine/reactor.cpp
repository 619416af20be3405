// Waiting for the operating system through asio. See reactor.hpp.
#include "reactor.hpp"

#include <chrono>

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

namespace perilune::detail {

namespace {
asio::steady_timer::time_point steady(std::uint64_t ns) {
  return asio::steady_timer::time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(ns)));
}
}  // namespace

void reactor::wait(std::optional<std::uint64_t> deadline_ns) {
  own_->restart();
  auto work = asio::make_work_guard(*own_);
  if (deadline_ns) {
    timer_.expires_at(steady(*deadline_ns));
    timer_.async_wait([](const asio::error_code&) {});
  }
  own_->run_one();
  if (deadline_ns) timer_.cancel();
  own_->poll();
}

void reactor::wake() {
  if (own_) {
    asio::post(*own_, [] {});
    return;
  }
  asio::post(executor_, [alive = std::weak_ptr<bool>(alive_), this] {
    if (auto a = alive.lock(); a && *a) drive_();
  });
}

void reactor::drive_at(std::uint64_t deadline_ns) {
  timer_.expires_at(steady(deadline_ns));
  timer_.async_wait([alive = std::weak_ptr<bool>(alive_), this](const asio::error_code& failed) {
    if (auto a = alive.lock(); !failed && a && *a) drive_();
  });
}

}  // namespace perilune::detail
