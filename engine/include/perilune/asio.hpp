// Opt-in: a runtime that lives on an asio executor of the host's, most often that of its io_context. The only public header
// that includes asio.
//
// A joined runtime has one worker and no loop: whoever runs the context runs the tasks, between the context's own
// completions. Its tasks, handles and channels belong to the thread that runs the context, which must be one at a time.
// The context has work as long as a task waits for a timer or for the system, so that run() returns when all is done.
#pragma once

#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>

#include <perilune/runtime.hpp>

namespace perilune {

namespace detail {

struct host_loop {
  asio::any_io_executor executor;
};

}  // namespace detail

// The options of a runtime that is driven by `executor`: perilune::runtime rt(perilune::join(io.get_executor()));
inline runtime_options join(asio::any_io_executor executor, runtime_options options = {}) {
  options.joined = std::make_shared<detail::host_loop>(std::move(executor));
  return options;
}

}  // namespace perilune
