// A task as other VMs have it: what they ask goes to its own worker by messages, and its end is packed once, when it settles,
// for everybody who joins it elsewhere. Made where the task is, when its handle is sent away; counted.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <perilune/shared_event.hpp>
#include <perilune/worker_door.hpp>

#include "lua_task.hpp"
#include "remote.hpp"
#include "transfer.hpp"

namespace perilune {

class task_link final : public crossing, public end_watcher, public std::enable_shared_from_this<task_link> {
 public:
  // The link of the task whose handle is at a stack index of its VM. Does not raise.
  static std::shared_ptr<task_link> of(lua_State* L, int index);

  task_link(lua_State* L, int index);
  task_link(const task_link&) = delete;
  task_link& operator=(const task_link&) = delete;
  ~task_link() override;

  void push(lua_State* L, vm& v) override;
  void task_settled(lua_task& task) noexcept override;

  // Any thread.
  const std::shared_ptr<shared_event> over = std::make_shared<shared_event>();
  // How it ended. Requires that it is over.
  const remote_end& end() const noexcept { return end_; }
  task_state ended_as() const noexcept { return status_; }
  // Somebody has looked at the end, so that a failure is no longer reported as unseen.
  void observe();
  void cancel(const cancel_reason& why, bool kills);
  // Has `say` called with the task's state, on the task's worker. False when that is gone.
  bool ask_status(std::function<void(task_state)> say);

  const std::uint64_t id;
  const std::string name;

 private:
  // Pushes the handle itself in the task's own VM.
  bool push_own(lua_State* L, const vm& v) const;
  void keep_handle(lua_State* L, int index);

  const detail::worker_door home_;
  const std::shared_ptr<vm*> machine_;  // of the task, while there is one; home's
  lua_task* task_ = nullptr;            // until it settles; home's
  std::shared_ptr<task_link> kept_;     // while it watches the task
  remote_end end_;                      // until over, home's
  task_state status_ = task_state::running;
  std::atomic<bool> observed_{false};
};

}  // namespace perilune
