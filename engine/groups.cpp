// Misuse of the groups. See groups.hpp.
#include <perilune/groups.hpp>

namespace perilune::detail {

void check_contestants(std::size_t count) {
  if (count == 0) throw task_error({error_kind::misuse, "race: no coroutines", 0, {}});
}

void check_concurrency(std::size_t limit) {
  if (limit == 0) throw task_error({error_kind::misuse, "map: the concurrency must be at least 1, got 0", 0, {}});
}

}  // namespace perilune::detail
