// What travels to a worker by its inbox: it is delivered on the worker's thread, or disposed of where the worker is gone.
#pragma once

namespace perilune::detail {

class inbox_message {
 public:
  virtual ~inbox_message() = default;
  virtual void deliver() = 0;
  // The inbox is done with the message.
  virtual void dispose() noexcept { delete this; }

 private:
  friend class inbox;
  inbox_message* next_ = nullptr;
};

}  // namespace perilune::detail
