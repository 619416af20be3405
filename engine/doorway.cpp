// Posting to a worker and waking it. See doorway.hpp.
#include "doorway.hpp"

#include "reactor.hpp"

namespace perilune::detail {

// Each side first writes its own atomic and then reads the other's, in one order for all: either the poster sees that nobody
// attends, or whoever leaves sees the message.
bool doorway::post(std::unique_ptr<inbox_message> message) noexcept {
  if (!push(*message)) return false;
  message.release();
  return true;
}

bool doorway::push(inbox_message& message) noexcept {
  if (!inbox_.push(message)) return false;
  if (attention_.load(std::memory_order_seq_cst) != attention::busy) tell();
  return true;
}

bool doorway::post_from_signal(inbox_message& message) noexcept {
  if (!inbox_.push(message)) return false;
  if (attention_.exchange(attention::busy, std::memory_order_acq_rel) != attention::busy) reactor_->ring();
  return true;
}

void doorway::tell() noexcept {
  const attention was = attention_.exchange(attention::busy, std::memory_order_acq_rel);
  if (was == attention::busy) return;
  const std::lock_guard lock(mutex_);
  if (!reactor_) return;
  if (was == attention::waiting || reactor_->joined()) reactor_->wake();
  if (was == attention::absent && notify_) notify_();
}

bool doorway::leave(attention how) noexcept {
  attention_.exchange(how, std::memory_order_seq_cst);
  if (inbox_.empty(std::memory_order_seq_cst)) return true;
  if (how == attention::waiting) attend();
  return false;
}

void doorway::close() noexcept {
  inbox_.close();
  const std::lock_guard lock(mutex_);
  reactor_ = nullptr;
  notify_ = nullptr;
}

}  // namespace perilune::detail
