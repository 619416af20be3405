// once<T>: a value that is made when first asked for, by whoever asks first, while the others wait. Where making it fails
// or is cancelled, the next in line makes it.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include <perilune/mutex.hpp>

namespace perilune {

template <class T>
class once {
 public:
  // `make` makes the value, when it is first asked for.
  explicit once(std::function<task<T>()> make) : make_(std::move(make)) {}

  // Yields a pointer to the value, which lives as long as this. What making it throws passes through. Kind misuse when it
  // is called while the same task makes the value.
  task<T*> get(hold_site at = std::source_location::current()) {
    if (!value_) {
      const guard turn = co_await making_.lock(at);
      if (!value_) value_.emplace(co_await make_());
    }
    co_return &*value_;
  }
  bool made() const noexcept { return value_.has_value(); }

 private:
  std::function<task<T>()> make_;
  mutex making_{"once", "get"};
  std::optional<T> value_;
};

}  // namespace perilune
