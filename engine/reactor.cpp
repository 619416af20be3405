// Waiting for the operating system through asio. See reactor.hpp.
#include "reactor.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

#include <asio/detail/epoll_reactor.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

namespace perilune::detail {

namespace {

// asio keeps the descriptor that its loop waits on to itself; an explicit instantiation may name it all the same.
int& epoll_of(asio::detail::epoll_reactor& loop) noexcept;
template <int asio::detail::epoll_reactor::* Member>
struct epoll_access {
  friend int& epoll_of(asio::detail::epoll_reactor& loop) noexcept { return loop.*Member; }
};
template struct epoll_access<&asio::detail::epoll_reactor::epoll_fd_>;

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

int reactor::descriptor() noexcept {
  polled_from_outside_ = true;
  return epoll_of(asio::use_service<asio::detail::epoll_reactor>(*own_));
}

// asio looks at its descriptor only while it has work; what is left unseen there would keep it readable.
void reactor::poll_all() {
  const auto work = asio::make_work_guard(*own_);
  own_->poll();
}

void reactor::open_bell() {
  if (bell_) return;
  bell_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (bell_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  bell_.emplace(executor_, bell_fd_);
  hear_bell();
}

void reactor::hear_bell() {
  bell_->async_wait(asio::posix::stream_descriptor::wait_read,
                    [alive = std::weak_ptr<bool>(alive_), this](const asio::error_code& failed) {
                      if (auto a = alive.lock(); failed || !a || !*a) return;
                      std::uint64_t rings = 0;
                      static_cast<void>(!::read(bell_fd_, &rings, sizeof rings));
                      hear_bell();
                      if (!own_) drive_();
                    });
}

void reactor::ring() noexcept {
  const int saved = errno;
  constexpr std::uint64_t once = 1;
  static_cast<void>(!::write(bell_fd_, &once, sizeof once));
  errno = saved;
}

void reactor::drive_at(std::uint64_t deadline_ns) {
  timer_.expires_at(steady(deadline_ns));
  timer_.async_wait([alive = std::weak_ptr<bool>(alive_), this](const asio::error_code& failed) {
    if (auto a = alive.lock(); !failed && a && *a) drive_();
  });
}

}  // namespace perilune::detail
