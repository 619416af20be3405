// What somebody probably meant by a word that nobody knows: "did you mean". Used inside one call.
#pragma once

#include <cstddef>
#include <string_view>

namespace perilune {

// Views into the word and the names, which have to outlive it.
class closest_name {
 public:
  explicit closest_name(std::string_view word) noexcept;
  void consider(std::string_view known);
  // The closest of those considered, the first of several; "" when none is close.
  std::string_view best() const noexcept { return best_; }

 private:
  std::string_view word_;
  std::string_view best_;
  std::size_t least_;  // a name has to be closer
};

}  // namespace perilune
