// The host's asio executor that a joined runtime lives on. Made by perilune::join; owned by the host's options.
#pragma once

#include <asio/any_io_executor.hpp>

namespace perilune::detail {

struct host_loop {
  asio::any_io_executor executor;
};

}  // namespace perilune::detail
