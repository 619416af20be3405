// Posting to a worker that may be gone. See worker_door.hpp.
#include <perilune/worker_door.hpp>

#include <perilune/scheduler.hpp>

#include "call_message.hpp"
#include "doorway.hpp"
#include "worker.hpp"

namespace perilune::detail {

worker_door::worker_door(scheduler& home) : door_(worker::of(home).shared_door()), owner_(&home.owner().owner()) {}

bool worker_door::post(std::function<void()> fn) const {
  return door_ && door_->post(std::make_unique<call_message>(*owner_, std::move(fn)));
}

}  // namespace perilune::detail
