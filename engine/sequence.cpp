// Reading ahead. See sequence.hpp.
#include <perilune/sequence.hpp>

namespace perilune {

void sequence_core::read_ahead(task_header& by) {
  if (ready() || wanted_) return;
  wanted_ = true;
  if (std::exchange(has_reader_, true)) return asked_.notify_one();
  start_reader(by);
}

void sequence_core::has_read() noexcept {
  wanted_ = false;
  ahead_ = true;
  while (waiter* each = waiters_.pop_front()) each->task->home->grant(*each);
  if (listener_) listener_->notify_one();
}

void sequence_core::reader_gone() noexcept {
  has_reader_ = false;
  if (!std::exchange(wanted_, false)) return;
  if (waiter* first = waiters_.front()) return read_ahead(*first->task);
  if (listener_) listener_->notify_one();
}

namespace detail {

void check_sequence(bool is_there) {
  if (!is_there)
    throw task_error({error_kind::misuse, "the sequence is part of another one, or was moved away", 0, {}});
}

void check_at_least_one(std::size_t count, const char* what) {
  if (count == 0) throw task_error({error_kind::misuse, std::string(what) + " must be at least 1, got 0", 0, {}});
}

}  // namespace detail

}  // namespace perilune
