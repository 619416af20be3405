// Misuse of the groups. See groups.hpp and wait_group.hpp.
#include <perilune/groups.hpp>
#include <perilune/wait_group.hpp>

namespace perilune::detail {

void check_contestants(std::size_t count) {
  if (count == 0) throw task_error({error_kind::misuse, "race: no coroutines", 0, {}});
}

void check_concurrency(std::size_t limit) {
  if (limit == 0) throw task_error({error_kind::misuse, "map: the concurrency must be at least 1, got 0", 0, {}});
}

void refuse_cancelled_member(error why) { throw group_error({std::make_exception_ptr(task_error(std::move(why)))}); }

void refuse_count(const char* why) { throw task_error({error_kind::misuse, why, 0, {}}); }

}  // namespace perilune::detail
