// Refusing the use of a resource on a foreign worker. See home_worker.hpp.
#include <perilune/home_worker.hpp>

#include <string>

#include <perilune/outcome.hpp>

namespace perilune::detail {

void home_worker::settle_at(scheduler& here) {
  if (home_) refuse();
  home_ = &here;
}

void home_worker::refuse() const {
  const std::string what = what_;
  throw task_error(
      {error_kind::misuse, "this " + what + " belongs to another worker; use one " + what + " per worker", 0, {}});
}

}  // namespace perilune::detail
