// The order that a seed draws: who is next where everybody who is ready may be. See scheduler.hpp.
#include <perilune/scheduler.hpp>

#include <utility>

namespace perilune {

// Adjacent seeds must not give neighbouring sequences, and xorshift needs a state that is not 0.
void scheduler::seed(std::uint64_t value) noexcept {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  random_ = (value ^ (value >> 31)) | 1U;
}

std::uint64_t scheduler::random() noexcept {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_ * 0x2545F4914F6CDD1DULL >> 16;
}

task_header* scheduler::next_of_round() {
  if (round_.empty()) {
    level_lanes();
    deal();
    while (task_header* task = yielded_.pop_front()) round_.push_back(*task);
  }
  return round_.pop_front();
}

// Appends what is in the fair lane to the round, in any order.
void scheduler::deal() {
  while (task_header* task = fair_.pop_front()) dealt_.push_back(task);
  for (std::size_t left = dealt_.size(); left > 0; --left) {
    std::swap(dealt_[random_below(left)], dealt_[left - 1]);
    round_.push_back(*dealt_[left - 1]);
  }
  dealt_.clear();
}

void scheduler::yield_behind_round(task_header& task) noexcept {
  task.become(wait_state::idle);
  task.woken_by = wake_kind::granted;
  task.status = task_state::ready;
  yielded_.push_back(task);
}

}  // namespace perilune
