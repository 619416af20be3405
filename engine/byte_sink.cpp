// Accepting writes and pushing bytes out. See stream.hpp and byte_sink.hpp.
#include "byte_sink.hpp"

#include <cerrno>

namespace perilune {

namespace detail {

bool byte_sink::attempt(write_operation& by) {
  if (!failure_ && !closing_) {
    if (!writers_.empty() || pending_.size() >= writer::high_water) return false;
    accept(by.data_);
    by.accepted_ = !failure_;
  } else {
    by.accepted_ = false;
  }
  return true;
}

void byte_sink::accept(std::string_view bytes) {
  if (!layer_) return send(bytes);
  auto encoded = layer_->encode(bytes);
  if (!encoded) return fail(std::move(encoded).error());
  send(*encoded);
}

void byte_sink::answer(std::string_view bytes) {
  if (!failure_ && !closing_) send(bytes);
}

void byte_sink::send(std::string_view bytes) {
  while (pending_.empty() && !bytes.empty() && !failure_) {
    const long written = push(bytes);
    if (written < 0) return fail(static_cast<int>(-written));
    if (written == 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  pending_.append(bytes);
  begin_to_wait();
}

void byte_sink::begin_to_wait() {
  if (pending_.empty() || awaiting_) return;
  awaiting_ = true;
  home_.background_begins();
  await_room();
}

void byte_sink::can_push() {
  if (!std::exchange(awaiting_, false)) return;
  home_.background_ends();
  while (!pending_.empty()) {
    const long written = push(pending_.view());
    if (written < 0) return fail(static_cast<int>(-written));
    if (written == 0) break;
    pending_.consume(static_cast<std::size_t>(written));
  }
  serve();
  begin_to_wait();
}

void byte_sink::fail(int code) { fail(error::system("write " + name_, code)); }

void byte_sink::fail(error problem) {
  failure_ = std::move(problem);
  pending_.clear();
  serve();
}

void byte_sink::enqueue(write_operation& by) {
  if (!layer_) return pending_.append(by.data_);
  auto encoded = layer_->encode(by.data_);
  if (encoded) return pending_.append(*encoded);
  failure_ = std::move(encoded).error();
  pending_.clear();
  by.accepted_ = false;
}

void byte_sink::serve() {
  while (!writers_.empty()) {
    auto& op = static_cast<write_operation&>(*writers_.front()->op);
    if (!failure_ && !closing_ && pending_.size() >= writer::high_water) break;
    op.accepted_ = !failure_ && !closing_;
    if (op.accepted_) enqueue(op);
    writers_.grant_front();
  }
  if (!drained()) return;
  flushers_.grant_all();
  if ((closing_ || failure_) && !std::exchange(released_, true)) release();
}

std::optional<error> byte_sink::problem(bool accepted) const {
  if (accepted) return std::nullopt;
  if (failure_) return failure_;
  return error::system("write " + name_ + " after it was closed", EBADF);
}

void byte_sink::close() noexcept {
  if (layer_ && !closing_ && !failure_) send(layer_->farewell());
  closing_ = true;
  serve();
}

void byte_sink::abandon() noexcept {
  if (std::exchange(awaiting_, false)) home_.background_ends();
  pending_.clear();
  layer_.reset();
  close();
}

}  // namespace detail

bool write_operation::try_now(waiter&) { return sink_->attempt(*this); }
void write_operation::arm(waiter& by) { sink_->arm_write(by); }
void write_operation::disarm(waiter& by) noexcept { sink_->disarm_write(by); }
wait_description write_operation::describe() const noexcept { return {"write", sink_->kind(), sink_.get()}; }

result<unit> write_operation::take_result() {
  if (auto problem = sink_->problem(accepted_)) return *std::move(problem);
  return unit{};
}

bool flush_operation::try_now(waiter&) { return sink_->drained(); }
void flush_operation::arm(waiter& by) { sink_->arm_flush(by); }
void flush_operation::disarm(waiter& by) noexcept { sink_->disarm_flush(by); }
wait_description flush_operation::describe() const noexcept { return {"flush", sink_->kind(), sink_.get()}; }

result<unit> flush_operation::take_result() {
  if (auto problem = sink_->problem(!sink_->broken())) return *std::move(problem);
  return unit{};
}

std::size_t writer::pending() const noexcept { return sink_->pending(); }
void writer::close() const noexcept { sink_->close(); }

}  // namespace perilune
