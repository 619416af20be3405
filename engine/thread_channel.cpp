// The way of threads into a worker. See thread_channel.hpp.
#include <perilune/thread_channel.hpp>

#include <mutex>
#include <string>

#include "call_message.hpp"
#include "doorway.hpp"
#include "worker.hpp"

namespace perilune::detail {

namespace {

[[noreturn]] void misuse(std::string text) { throw task_error({error_kind::misuse, std::move(text), 0, {}}); }

worker& home_here() {
  if (!scheduler::here()) misuse("a thread_channel is made on the worker of its channel");
  return worker::here();
}

}  // namespace

thread_gate::thread_gate() : home_(&home_here()), door_(home_->shared_door()), owner_(&home_->owner()) {
  home_->external_begins();
}

thread_gate::~thread_gate() {
  post([home = home_] { home->external_ends(); });
}

// What a worker that is gone refuses is destroyed here, by one thread at a time: its counts are those of a single thread.
void thread_gate::post(std::function<void()> fn) const {
  static std::recursive_mutex refusals;
  const std::lock_guard lock(refusals);
  door_->post(std::make_unique<call_message>(*owner_, std::move(fn)));
}

void check_may_block(const char* verb) {
  if (scheduler::here())
    misuse(std::string(verb) + " would stop this worker, which alone can end the wait: use co_await here");
}

}  // namespace perilune::detail
