// The ends of pipes and sockets as streams, on the reactor of their worker. Reading stops when nobody wants bytes, so that the
// writer at the other end feels it. Writes never raise SIGPIPE: it is blocked around each, for this thread only.
#pragma once

#include <memory>
#include <string>

#include <perilune/stream.hpp>

#include "unique_fd.hpp"
#include "worker.hpp"

namespace perilune::detail {

// Both take a descriptor that polls, and make it non-blocking. Throw std::system_error when the reactor refuses it.
std::shared_ptr<byte_source> make_pipe_source(worker& home, unique_fd fd, std::string name);
std::shared_ptr<byte_sink> make_pipe_sink(worker& home, unique_fd fd, std::string name);

// Both ends of a socket. The descriptor is closed when both are; the other side is told when the sink is.
struct socket_ends {
  std::shared_ptr<byte_source> source;
  std::shared_ptr<byte_sink> sink;
};
socket_ends make_socket_ends(worker& home, unique_fd fd, std::string name);

}  // namespace perilune::detail
