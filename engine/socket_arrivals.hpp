// What arrives at a socket and is asked for: connections to accept, datagrams. Nothing is taken from the system before somebody
// waits, so what is too much stays there. Shared by its handles and operations; the worker's thread only.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <asio/posix/stream_descriptor.hpp>

#include "arrival_queue.hpp"
#include "reactor.hpp"
#include "socket.hpp"

namespace perilune::net::detail {

template <class T>
class socket_arrivals : public std::enable_shared_from_this<socket_arrivals<T>> {
 public:
  // Throws std::system_error when the reactor refuses the descriptor.
  socket_arrivals(perilune::detail::worker& home, unique_fd fd)
      : home_(home), at_(local_end(fd.get())), ready_(home.io_reactor().executor(), fd.get()), arrived_(home) {
    fd.release();
  }
  socket_arrivals(const socket_arrivals&) = delete;
  socket_arrivals& operator=(const socket_arrivals&) = delete;
  virtual ~socket_arrivals() = default;

  bool attempt() {
    if (!arrived_.closed() && !arrived_.awaited() && !arrived_.newest()) fetch_one();
    return arrived_.attempt();
  }
  void arm(waiter& by) {
    arrived_.arm(by);
    hear();
  }
  void disarm(waiter& by) noexcept { arrived_.disarm(by); }
  void give_back() noexcept { arrived_.give_back(); }
  result<std::optional<T>> take() {
    auto one = arrived_.take();
    if (!one) return std::optional<T>();
    if (!*one) return std::move(*one).error();
    return std::optional<T>(std::move(*one).value());
  }
  virtual void close() noexcept {
    asio::error_code ignored;
    static_cast<void>(ready_.close(ignored));
    arrived_.close();
  }

  const endpoint& at() const noexcept { return at_; }
  int descriptor() { return ready_.native_handle(); }
  bool closed() const noexcept { return arrived_.closed(); }

 protected:
  // What can be had without waiting, or nothing.
  virtual std::optional<result<T>> fetch(int fd) = 0;
  perilune::detail::worker& home() const noexcept { return home_; }

 private:
  bool fetch_one() {
    auto one = fetch(descriptor());
    if (one) arrived_.push(std::move(*one));
    return one.has_value();
  }
  void hear() {
    if (hearing_ || arrived_.closed()) return;
    hearing_ = true;
    ready_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = this->weak_from_this()](const asio::error_code& stopped) {
                        const auto self = weak.lock();
                        if (!self) return;
                        self->hearing_ = false;
                        if (stopped || self->arrived_.closed()) return;
                        while (self->arrived_.awaited() && self->fetch_one()) {
                        }
                        if (self->arrived_.awaited()) self->hear();
                      });
  }

  perilune::detail::worker& home_;
  const endpoint at_;
  asio::posix::stream_descriptor ready_;
  perilune::detail::arrival_queue<result<T>> arrived_;
  bool hearing_ = false;
};

}  // namespace perilune::net::detail
