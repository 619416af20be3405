// Making a connection: look the name up, try its addresses one after the other. It goes on while somebody waits for it, and is
// given up when nobody does. Shared by its operations; the worker's thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <asio/posix/stream_descriptor.hpp>

#include "external_queue.hpp"
#include "socket.hpp"

namespace perilune::net::detail {

// The two streams of a connected socket.
result<connection> join_ends(perilune::detail::worker& home, unique_fd fd);

class connector final : public std::enable_shared_from_this<connector> {
 public:
  connector(perilune::detail::worker& home, endpoint to) : home_(home), to_(std::move(to)) {}

  bool attempt() noexcept;
  void arm(waiter& by);
  void disarm(waiter& by) noexcept;
  void give_back() noexcept;
  result<connection> take();

  // The names have been looked up in attempt `number`.
  void looked_up(std::uint64_t number, result<std::vector<std::string>> addresses);

 private:
  void begin();
  void try_next();
  void await_end(unique_fd fd);
  void finish(result<connection> end);
  void serve() noexcept;
  void give_up() noexcept;
  error failure(int code) const { return error::system("connect to " + shown(to_), code); }

  perilune::detail::worker& home_;
  const endpoint to_;
  perilune::detail::external_queue waiters_;
  std::optional<result<connection>> end_;
  std::vector<std::string> addresses_;
  std::size_t next_ = 0;
  std::optional<error> last_;
  std::unique_ptr<asio::posix::stream_descriptor> pending_;
  std::uint64_t number_ = 0;  // of the attempt; what belongs to an earlier one is stale
  bool under_way_ = false;
  bool granted_ = false;
};

}  // namespace perilune::net::detail
