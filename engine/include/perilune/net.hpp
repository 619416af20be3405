// Sockets: streams over TCP and over the file system's sockets, listeners for them, datagrams, and names.
//
// A connection is a reader and a writer (see stream.hpp) on one descriptor, which is closed when both are. Closing the writer
// alone tells the other side that nothing more comes. What was connected, accepted or received and not taken stays where it
// was: an operation that loses a select has lost nothing. Everything stays on the worker where it was made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <perilune/blocking.hpp>
#include <perilune/error.hpp>
#include <perilune/stream.hpp>
#include <perilune/task.hpp>

namespace perilune::net {

namespace detail {
class connector;
class acceptor;
class datagram_queue;
}  // namespace detail

// Where a socket is: an IP address and a port, or a path and no port.
struct endpoint {
  std::string host{};
  std::uint16_t port = 0;
  bool local = false;  // `host` is a path
};

// Two connected sides.
struct connection {
  // Both directions, and the addresses of both sides.
  reader in{};
  writer out{};
  endpoint here{};
  endpoint there{};
};

// One packet.
struct datagram {
  // One packet, whole, and whence it came.
  std::string bytes{};
  endpoint from{};
};

// Whether a host is an address rather than a name.
bool is_numeric(const std::string& host) noexcept;

// The numeric addresses of a name, as the system orders them. Blocks its thread of the pool, not the loop.
blocking_operation<result<std::vector<std::string>>> resolve(std::string name);

// Begins to connect when a task begins to wait, and gives up when nobody waits any more. Each use is a new connection.
class connect_operation final : public operation {
 public:
  explicit connect_operation(std::shared_ptr<detail::connector> to) noexcept : to_(std::move(to)) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override;
  wait_description describe() const noexcept override { return {"connect", "socket", to_.get()}; }
  result<connection> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<connect_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::connector> to_;
};

// A host may be a name; its addresses are tried one after the other.
connect_operation connect(endpoint to);

// Waits for the next connection; nothing when the listener is closed. Several may wait.
class accept_operation final : public operation {
 public:
  explicit accept_operation(std::shared_ptr<detail::acceptor> from) noexcept : from_(std::move(from)) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override;
  wait_description describe() const noexcept override { return {"accept", "listener", from_.get()}; }
  // Nothing when the listener was closed.
  result<std::optional<connection>> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<accept_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::acceptor> from_;
};

// A handle; copies share the listener. It is closed by close() or with the last handle; the file of a socket in the file
// system is removed then.
class listener {
 public:
  // A numeric host. Port 0 draws one. Only on a worker.
  static result<listener> listen(const endpoint& at, int backlog = 1024);

  // Waits for the next connection. Kind io where the system refuses one.
  accept_operation accept() const noexcept { return accept_operation(acceptor_); }
  // Where it listens, with the port that was drawn.
  const endpoint& at() const noexcept;
  // Waiting accepts see the end. Idempotent.
  void close() const noexcept;

 private:
  explicit listener(std::shared_ptr<detail::acceptor> made) noexcept : acceptor_(std::move(made)) {}
  std::shared_ptr<detail::acceptor> acceptor_;
};

// Waits for the next packet; nothing when the socket is closed. Several may wait.
class receive_operation final : public operation {
 public:
  explicit receive_operation(std::shared_ptr<detail::datagram_queue> from) noexcept : from_(std::move(from)) {}

  bool try_now(waiter&) noexcept;
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override;
  wait_description describe() const noexcept override { return {"recv", "udp socket", from_.get()}; }
  // Nothing when the socket was closed.
  result<std::optional<datagram>> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<receive_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::datagram_queue> from_;
};

// A UDP socket. A handle, as a listener is.
class datagram_socket {
 public:
  static result<datagram_socket> open(const endpoint& at);

  // Waits for the next packet.
  receive_operation receive() const noexcept { return receive_operation(queue_); }
  // False when the system has no room for it now. A numeric host.
  result<bool> send(const std::string& bytes, const endpoint& to) const;
  const endpoint& at() const noexcept;
  void close() const noexcept;

 private:
  explicit datagram_socket(std::shared_ptr<detail::datagram_queue> made) noexcept : queue_(std::move(made)) {}
  std::shared_ptr<detail::datagram_queue> queue_;
};

}  // namespace perilune::net
