// Calls by the loop of the host's. See host_loop.hpp.
#include <perilune/host_loop.hpp>

#include <utility>

#include <asio/post.hpp>

#include <perilune/asio.hpp>

namespace perilune {

bool post_to_loop(const runtime& rt, std::function<void()> fn) {
  if (!rt.options().joined) return false;
  asio::post(rt.options().joined->executor, std::move(fn));
  return true;
}

}  // namespace perilune
