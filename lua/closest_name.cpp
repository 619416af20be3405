// Distances between words. See closest_name.hpp.
#include "closest_name.hpp"

#include <algorithm>
#include <vector>

namespace perilune {

namespace {

constexpr std::size_t longest_word = 200;

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

closest_name::closest_name(std::string_view word) noexcept
    : word_(word), least_(std::min<std::size_t>(3, word.size() / 2 + 2)) {}

void closest_name::consider(std::string_view known) {
  const std::size_t lengths_apart = std::max(word_.size(), known.size()) - std::min(word_.size(), known.size());
  if (lengths_apart >= least_ || known.size() > longest_word) return;
  const std::size_t distance = edit_distance(word_, known);
  if (distance >= least_ || distance >= known.size()) return;
  least_ = distance;
  best_ = known;
}

}  // namespace perilune
