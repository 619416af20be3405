// Watching tasks from outside: told when a task is spawned, resumed, suspended and ended, for traces, tests and live views.
//
// Owned by the host, named in runtime_options, and called by the thread of the task's worker between two steps of it: no
// task runs meanwhile. It may look at the task and cancel; it must not spawn, nor run anything. A run without an observer
// asks for one once in a batch of resumes, at a spawn and at an end, and nowhere else.
#pragma once

#include <perilune/task_header.hpp>

namespace perilune {

class observer {
 public:
  // The task is queued. Its name may not be known yet.
  virtual void spawned(task_header&) noexcept {}
  // Its turn has come; it runs when this returns.
  virtual void resumed(task_header&) noexcept {}
  // It has left off: `status` says whether it is ready again (it yielded), waits, or only waits for its children (closing).
  virtual void suspended(task_header&) noexcept {}
  // Its outcome is final.
  virtual void ended(task_header&) noexcept {}

 protected:
  ~observer() = default;
};

}  // namespace perilune
