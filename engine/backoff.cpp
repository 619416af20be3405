// The length of a pause. See backoff.hpp.
#include <perilune/backoff.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include <perilune/outcome.hpp>

namespace perilune {

duration backoff::pause(unsigned failures, std::uint64_t random) const noexcept {
  if (first == duration::zero()) return duration::zero();
  constexpr double steps = 4294967296.0;
  const double drawn = static_cast<double>(random & 0xFFFFFFFF) / steps;
  const double whole = std::min(to_seconds(max), to_seconds(first) * std::pow(factor, failures - 1));
  return from_seconds(jitter == 0 ? whole : whole * (1 - jitter * drawn));
}

void backoff::check(const char* call) const {
  const char* wrong = nullptr;
  if (first < duration::zero() || max < duration::zero()) wrong = "a pause must not be negative";
  if (!(factor >= 1)) wrong = "the factor must be at least 1";
  if (!(jitter >= 0 && jitter <= 1)) wrong = "the jitter must be from 0 to 1";
  if (wrong) throw task_error({error_kind::misuse, std::string(call) + ": bad backoff: " + wrong, 0, {}});
}

}  // namespace perilune
