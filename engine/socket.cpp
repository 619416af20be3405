// Calls on sockets. See socket.hpp.
#include "socket.hpp"

#include <cerrno>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

namespace perilune::net::detail {

std::string shown(const endpoint& at) {
  if (at.local) return at.host;
  const bool six = at.host.find(':') != std::string::npos;
  return (six ? "[" + at.host + "]" : at.host) + ":" + std::to_string(at.port);
}

namespace {

struct address_list {
  ~address_list() {
    if (first) ::freeaddrinfo(first);
  }
  addrinfo* first = nullptr;
};

int ask(const std::string& name, int flags, address_list& into) noexcept {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  return ::getaddrinfo(name.c_str(), nullptr, &hints, &into.first);
}

error unknown_host(const std::string& name, int why) {
  error problem = error::system("resolve " + name, why == EAI_SYSTEM ? errno : ENOENT);
  if (why != EAI_SYSTEM) problem.message = "resolve " + name + ": " + ::gai_strerror(why);
  return problem;
}

result<raw_address> raw_path(const std::string& path) {
  sockaddr_un at{};
  if (path.empty() || path.size() >= sizeof at.sun_path)
    return error::system("socket " + path, path.empty() ? EINVAL : ENAMETOOLONG);
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, path.data(), path.size());
  raw_address made;
  std::memcpy(&made.bytes, &at, sizeof at);
  made.size = static_cast<socklen_t>(sizeof at);
  return made;
}

std::string numeric(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST] = "";
  ::getnameinfo(address, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

}  // namespace

result<raw_address> to_raw(const endpoint& at) {
  if (at.local) return raw_path(at.host);
  address_list found;
  if (const int why = ask(at.host, AI_NUMERICHOST, found)) return unknown_host(at.host, why);
  raw_address made;
  std::memcpy(&made.bytes, found.first->ai_addr, found.first->ai_addrlen);
  made.size = found.first->ai_addrlen;
  const in_port_t port = htons(at.port);
  if (made.family() == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&made.bytes)->sin6_port = port;
  else
    reinterpret_cast<sockaddr_in*>(&made.bytes)->sin_port = port;
  return made;
}

endpoint from_raw(const raw_address& address) {
  if (address.family() == AF_UNIX) {
    const auto* at = reinterpret_cast<const sockaddr_un*>(&address.bytes);
    const std::size_t offset = offsetof(sockaddr_un, sun_path);
    const std::size_t size = address.size > offset ? ::strnlen(at->sun_path, address.size - offset) : 0;
    return {std::string(at->sun_path, size), 0, true};
  }
  const in_port_t port = address.family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address.bytes)->sin6_port
                                                      : reinterpret_cast<const sockaddr_in*>(&address.bytes)->sin_port;
  return {numeric(address.get(), address.size), ntohs(port), false};
}

result<std::vector<std::string>> look_up(const std::string& name) {
  address_list found;
  if (const int why = ask(name, AI_ADDRCONFIG, found)) {
    if (ask(name, 0, found)) return unknown_host(name, why);
  }
  std::vector<std::string> addresses;
  for (const addrinfo* each = found.first; each; each = each->ai_next) {
    addresses.push_back(numeric(each->ai_addr, each->ai_addrlen));
  }
  return addresses;
}

result<unique_fd> open_socket(int family, int type, const std::string& what) {
  unique_fd fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return error::system(what, errno);
  return fd;
}

endpoint local_end(int fd) {
  raw_address at;
  at.size = sizeof at.bytes;
  if (::getsockname(fd, at.get(), &at.size) != 0) return {};
  return from_raw(at);
}

endpoint remote_end(int fd) {
  raw_address at;
  at.size = sizeof at.bytes;
  if (::getpeername(fd, at.get(), &at.size) != 0) return {};
  return from_raw(at);
}

void set_no_delay(int fd) noexcept {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace perilune::net::detail

namespace perilune::net {

bool is_numeric(const std::string& host) noexcept {
  detail::address_list found;
  return detail::ask(host, AI_NUMERICHOST, found) == 0;
}

}  // namespace perilune::net
