// Where a writer's bytes go: those accepted and not yet gone, and the writes and flushes that wait. Derived classes push
// bytes out. Shared by its handles and operations; the worker's thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <perilune/stream.hpp>
#include <perilune/stream_layer.hpp>

#include "byte_buffer.hpp"
#include "external_queue.hpp"

namespace perilune::detail {

class byte_sink : public std::enable_shared_from_this<byte_sink> {
 public:
  byte_sink(worker& home, std::string name) : home_(home), name_(std::move(name)) {}
  byte_sink(const byte_sink&) = delete;
  byte_sink& operator=(const byte_sink&) = delete;
  virtual ~byte_sink() = default;

  bool attempt(write_operation& by);
  void arm_write(waiter& by) noexcept { writers_.arm(by); }
  void disarm_write(waiter& by) noexcept { writers_.disarm(by); }
  bool drained() const noexcept { return pending_.empty() || failure_.has_value(); }
  void arm_flush(waiter& by) noexcept { flushers_.arm(by); }
  void disarm_flush(waiter& by) noexcept { flushers_.disarm(by); }
  bool broken() const noexcept { return failure_.has_value(); }
  // Why a write was not accepted.
  std::optional<error> problem(bool accepted) const;

  // Takes the bytes whatever is pending.
  void accept(std::string_view bytes);
  void put_layer(std::shared_ptr<stream_layer> layer) noexcept { layer_ = std::move(layer); }
  // What the layer itself has to say.
  void answer(std::string_view bytes);
  void close() noexcept;
  // Drops what is pending and closes at once.
  void abandon() noexcept;
  std::size_t pending() const noexcept { return pending_.size(); }
  virtual const char* kind() const noexcept = 0;

 protected:
  // Writes what it can without waiting: bytes written, 0 for none now, or a negative errno.
  virtual long push(std::string_view bytes) noexcept = 0;
  // Begins to wait for room; can_push() follows once.
  virtual void await_room() = 0;
  virtual void release() noexcept = 0;
  void can_push();
  worker& home() const noexcept { return home_; }

 private:
  void send(std::string_view bytes);
  // The bytes of a write that has waited, behind what is pending.
  void enqueue(write_operation& by);
  void begin_to_wait();
  void fail(int code);
  void fail(error problem);
  void serve();

  worker& home_;
  std::string name_;
  byte_buffer pending_;
  external_queue writers_;
  external_queue flushers_;
  std::optional<error> failure_;
  std::shared_ptr<stream_layer> layer_;
  bool awaiting_ = false;
  bool closing_ = false;
  bool released_ = false;
};

}  // namespace perilune::detail
