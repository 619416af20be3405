// What retry decides between two attempts. See retry.hpp.
#include <perilune/retry.hpp>

namespace perilune::detail {

duration pause_after(const retry_options& options, const std::exception_ptr& failure, unsigned attempt) {
  const bool last = attempt >= options.attempts && options.attempts != retry_options::unlimited;
  if (last || (options.retry_if && !options.retry_if(describe_exception(failure), attempt)))
    std::rethrow_exception(failure);
  return options.pauses.pause(attempt, scheduler::here()->random());
}

void check_retry(const retry_options& options) {
  options.pauses.check("retry");
  if (options.attempts == 0) throw task_error({error_kind::misuse, "retry: attempts must be at least 1, got 0", 0, {}});
}

}  // namespace perilune::detail
