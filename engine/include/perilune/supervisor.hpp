// supervisor: a coroutine that keeps others running, as OTP's supervisors do. Spawn it; cancelling its task stops the children
// one by one, the last started first, each within its own time.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <perilune/backoff.hpp>
#include <perilune/task.hpp>

namespace perilune {

// Who is stopped and started again with a child that failed.
enum class restart_strategy : unsigned char { one_for_one, one_for_all, rest_for_one };

// When a child that has ended is started again.
enum class restart_kind : unsigned char {
  permanent,  // always started again
  transient,  // only after a failure
  temporary,  // never
};

// Which ends of significant children, that are for good, end the supervisor.
enum class auto_shutdown : unsigned char { never, any_significant, all_significant };

// One child, and when it is started again.
struct child_spec {
  // What failures and logs call it.
  std::string name{};
  std::function<task<>()> start{};  // called for each start
  restart_kind restart = restart_kind::permanent;
  backoff pauses{};                             // before a restart; none unless given
  duration shutdown = std::chrono::seconds(5);  // what a child that is to end has until it is killed
  bool significant = false;
};

// What a supervisor does when children fail.
struct supervisor_options {
  // Who is started again.
  restart_strategy strategy = restart_strategy::one_for_one;
  unsigned intensity = 1;  // restarts that `period` may see; one more ends the supervisor
  duration period = std::chrono::seconds(5);
  std::vector<child_spec> children{};  // in the order in which they start; at least one
  auto_shutdown ends = auto_shutdown::never;
  // Told of each failure of a child. Without it, failures are reported as those that nobody looks at.
  std::function<void(const child_spec&, const error&)> on_failure{};
};

// What a supervisor fails with when its children had to be restarted too often. All children have been stopped by then.
class restart_intensity_exceeded final : public task_error {
 public:
  restart_intensity_exceeded(error problem, std::vector<std::exception_ptr> failures)
      : task_error(std::move(problem)), failures_(std::move(failures)) {}
  // Those within the period, in order; a child that ended without one has none.
  const std::vector<std::exception_ptr>& failures() const noexcept { return failures_; }

 private:
  std::vector<std::exception_ptr> failures_;
};

// Runs until all children have ended for good, or a significant one ends it. Throws kind misuse for options that are wrong.
task<> supervisor(supervisor_options options);

}  // namespace perilune
