// Walks in batches on the pool. See fs.hpp.
#include <algorithm>
#include <mutex>
#include <utility>

#include <perilune/fs.hpp>

#include "tree_walk.hpp"

namespace perilune::fs {

namespace detail {

// Shared by the walker, its operations and the call on the pool; the mutex is held by one of them at a time.
class walk_state {
 public:
  walk_state(std::string root, walk_options options)
      : batch_(std::max<std::size_t>(1, options.batch)), walk_(std::move(root), std::move(options)) {}

  // Pool thread. What an earlier wait did not take is still there.
  result<unit> read() {
    const std::lock_guard lock(mutex_);
    if (!begun_) {
      if (auto opened = walk_.begin(); !opened.ok()) return opened;
      begun_ = true;
    }
    walk_entry entry;
    while (ready_.size() < batch_ && walk_.next(entry)) ready_.push_back(std::move(entry));
    return unit{};
  }
  std::vector<walk_entry> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(ready_, {});
  }

 private:
  std::mutex mutex_;
  std::size_t batch_;
  tree_walk walk_;
  std::vector<walk_entry> ready_;
  bool begun_ = false;
};

}  // namespace detail

result<std::vector<walk_entry>> walk_operation::take_result() {
  auto read = read_.take_result();
  if (!read.ok()) return std::move(read).error();
  return state_->take();
}

dir_walker::dir_walker(std::string root, walk_options options)
    : state_(std::make_shared<detail::walk_state>(std::move(root), std::move(options))) {}

walk_operation dir_walker::next() const {
  return {state_, pending<unit>({.name = "walk", .crew = blocking_crew::files, .abandonable = true},
                                [state = state_] { return state->read(); })};
}

}  // namespace perilune::fs
