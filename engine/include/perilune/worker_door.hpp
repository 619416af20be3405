// The way into a worker for whoever outlives it: a post that comes too late is refused, never an error. Made on the worker's
// thread, then copied and used on any.
#pragma once

#include <functional>
#include <memory>

namespace perilune {

class runtime;
class scheduler;

namespace detail {

class doorway;

class worker_door {
 public:
  worker_door() noexcept = default;  // leads nowhere
  explicit worker_door(scheduler& worker);
  // Calls `fn` on the worker's thread, soon. False when it has shut down; `fn` is then dropped here.
  bool post(std::function<void()> fn) const;

 private:
  std::shared_ptr<doorway> door_;
  runtime* owner_ = nullptr;
};

}  // namespace detail

}  // namespace perilune
