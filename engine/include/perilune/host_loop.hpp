// The loop of the host's that a runtime is joined to (<perilune/asio.hpp>), for those who do not see asio.
#pragma once

#include <functional>

namespace perilune {

class runtime;

// Has that loop call `fn`, soon and outside of the runtime, which `fn` may destroy. False where the runtime is not joined. Any thread.
bool post_to_loop(const runtime& rt, std::function<void()> fn);

}  // namespace perilune
