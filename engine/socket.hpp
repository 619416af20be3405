// Sockets as the system has them: addresses in its form, descriptors, and what blocks nobody. Free functions; any thread.
#pragma once

#include <string>
#include <vector>

#include <sys/socket.h>

#include <perilune/net.hpp>

#include "unique_fd.hpp"

namespace perilune::net::detail {

using perilune::detail::unique_fd;

struct raw_address {
  sockaddr_storage bytes{};
  socklen_t size = 0;

  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&bytes); }
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&bytes); }
  int family() const noexcept { return bytes.ss_family; }
};

// "tcp 127.0.0.1:80", for errors.
std::string shown(const endpoint& at);
// The address of a path or of a numeric host.
result<raw_address> to_raw(const endpoint& at);
endpoint from_raw(const raw_address& address);
// The numeric addresses of a name; blocks.
result<std::vector<std::string>> look_up(const std::string& name);
result<unique_fd> open_socket(int family, int type, const std::string& what);
endpoint local_end(int fd);
endpoint remote_end(int fd);
// Small writes leave at once.
void set_no_delay(int fd) noexcept;

}  // namespace perilune::net::detail
