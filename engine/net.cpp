// Listeners, datagrams and names. See net.hpp; connecting is in connector.cpp.
#include <perilune/net.hpp>

#include <cerrno>

#include <unistd.h>

#include "connector.hpp"
#include "socket_arrivals.hpp"

namespace perilune::net {

namespace detail {

class acceptor final : public socket_arrivals<connection> {
 public:
  using socket_arrivals::socket_arrivals;
  ~acceptor() override { remove_file(); }
  void close() noexcept override {
    if (!closed()) remove_file();
    socket_arrivals::close();
  }

 private:
  std::optional<result<connection>> fetch(int fd) override {
    unique_fd made(::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (made) return join_ends(home(), std::move(made));
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return std::nullopt;
    return error::system("accept at " + shown(at()), errno);
  }
  void remove_file() noexcept {
    if (at().local && !at().host.empty() && !std::exchange(removed_, true)) ::unlink(at().host.c_str());
  }

  bool removed_ = false;
};

class datagram_queue final : public socket_arrivals<datagram> {
 public:
  using socket_arrivals::socket_arrivals;

 private:
  std::optional<result<datagram>> fetch(int fd) override {
    static thread_local char bytes[65536];
    raw_address from;
    from.size = sizeof from.bytes;
    const ssize_t n = ::recvfrom(fd, bytes, sizeof bytes, 0, from.get(), &from.size);
    if (n >= 0) return datagram{std::string(bytes, static_cast<std::size_t>(n)), from_raw(from)};
    if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED) return std::nullopt;
    return error::system("recv at " + shown(at()), errno);
  }
};

namespace {

// A socket bound to an address, `what` for errors.
result<unique_fd> bound(const endpoint& at, int type, const std::string& what) {
  auto address = to_raw(at);
  if (!address) return std::move(address).error();
  auto fd = open_socket(address->family(), type, what);
  if (!fd) return fd;
  const int on = 1;
  if (!at.local && type == SOCK_STREAM) ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd->get(), address->get(), address->size) != 0) return error::system(what, errno);
  return fd;
}

}  // namespace

}  // namespace detail

blocking_operation<result<std::vector<std::string>>> resolve(std::string name) {
  return blocking_operation<result<std::vector<std::string>>>(
      {.name = "resolve", .abandonable = true}, [name = std::move(name)] { return detail::look_up(name); });
}

bool accept_operation::try_now(waiter&) noexcept { return from_->attempt(); }
void accept_operation::arm(waiter& by) { from_->arm(by); }
void accept_operation::disarm(waiter& by) noexcept { from_->disarm(by); }
result<std::optional<connection>> accept_operation::take_result() { return from_->take(); }

bool accept_operation::give_back(waiter&) noexcept {
  from_->give_back();
  return true;
}

result<listener> listener::listen(const endpoint& at, int backlog) {
  const std::string what = "listen at " + detail::shown(at);
  auto fd = detail::bound(at, SOCK_STREAM, what);
  if (!fd) return std::move(fd).error();
  if (::listen(fd->get(), backlog) != 0) return error::system(what, errno);
  return listener(std::make_shared<detail::acceptor>(perilune::detail::worker::here(), *std::move(fd)));
}

const endpoint& listener::at() const noexcept { return acceptor_->at(); }
void listener::close() const noexcept { acceptor_->close(); }

bool receive_operation::try_now(waiter&) noexcept { return from_->attempt(); }
void receive_operation::arm(waiter& by) { from_->arm(by); }
void receive_operation::disarm(waiter& by) noexcept { from_->disarm(by); }
result<std::optional<datagram>> receive_operation::take_result() { return from_->take(); }

bool receive_operation::give_back(waiter&) noexcept {
  from_->give_back();
  return true;
}

result<datagram_socket> datagram_socket::open(const endpoint& at) {
  auto fd = detail::bound(at, SOCK_DGRAM, "open udp " + detail::shown(at));
  if (!fd) return std::move(fd).error();
  return datagram_socket(std::make_shared<detail::datagram_queue>(perilune::detail::worker::here(), *std::move(fd)));
}

result<bool> datagram_socket::send(const std::string& bytes, const endpoint& to) const {
  if (queue_->closed()) return error::system("send to " + detail::shown(to) + " after it was closed", EBADF);
  auto address = detail::to_raw(to);
  if (!address) return std::move(address).error();
  for (;;) {
    const ssize_t n =
        ::sendto(queue_->descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL, address->get(), address->size);
    if (n >= 0) return true;
    if (errno == EAGAIN || errno == ENOBUFS) return false;
    if (errno != EINTR && errno != ECONNREFUSED) return error::system("send to " + detail::shown(to), errno);
  }
}

const endpoint& datagram_socket::at() const noexcept { return queue_->at(); }
void datagram_socket::close() const noexcept { queue_->close(); }

}  // namespace perilune::net
