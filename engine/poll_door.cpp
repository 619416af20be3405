// An epoll set of the reactor's descriptor and a bell. See poll_door.hpp.
#include "poll_door.hpp"

#include <cerrno>
#include <cstdint>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "reactor.hpp"

namespace perilune::detail {

result<unit> poll_door::open(reactor& io) {
  if (all_) return unit{};
  unique_fd bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  unique_fd all(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event readable{.events = EPOLLIN, .data = {}};
  const bool set = bell && all && ::epoll_ctl(all.get(), EPOLL_CTL_ADD, bell.get(), &readable) == 0 &&
                   ::epoll_ctl(all.get(), EPOLL_CTL_ADD, io.descriptor(), &readable) == 0;
  if (!set) return error::system("poll_fd", errno);
  owned_ = std::move(bell);
  all_ = std::move(all);
  bell_.store(owned_.get(), std::memory_order_release);
  ring();  // what came before nobody has heard
  return unit{};
}

void poll_door::ring() const noexcept {
  constexpr std::uint64_t once = 1;
  const int bell = bell_.load(std::memory_order_acquire);
  if (bell >= 0) static_cast<void>(!::write(bell, &once, sizeof once));
}

void poll_door::silence() const noexcept {
  std::uint64_t rings = 0;
  if (owned_) static_cast<void>(!::read(owned_.get(), &rings, sizeof rings));
}

}  // namespace perilune::detail
