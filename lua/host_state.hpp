// What is behind a perilune::host: the Lua host with its engine, the values and tasks that it keeps for the program, its groups.
// Shared by the host and by the calls that drive it, so that it outlives a host that is destroyed inside one of them.
// The host's thread only, but post().
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <lua.hpp>

#include <perilune/cancel.hpp>
#include <perilune/host.hpp>
#include <perilune/observer.hpp>
#include <perilune/runtime.hpp>

#include "anchor.hpp"
#include "lua_host.hpp"
#include "vm.hpp"

namespace perilune::detail {

// Tells a host's hooks what the engine tells an observer.
class hook_observer final : public observer {
 public:
  explicit hook_observer(task_hooks hooks) : hooks_(std::move(hooks)) {}
  bool wanted() const noexcept;

  void spawned(task_header& task) noexcept override;
  void resumed(task_header& task) noexcept override;
  void suspended(task_header& task) noexcept override;
  void ended(task_header& task) noexcept override;

 private:
  void tell_slow(task_header& task) noexcept;

  task_hooks hooks_;
  const task_header* running_ = nullptr;
  std::chrono::steady_clock::time_point resumed_at_{};
};

// A node of the tree without a task, below the roots of worker 0.
struct group_node : cancel_node {
  std::string name;
};

struct group_state {
  std::shared_ptr<anchor_home> home;
  group_node* node;
  ~group_state();
};

class host_state : public std::enable_shared_from_this<host_state> {
 public:
  explicit host_state(host_options options, runtime_options engine);
  host_state(const host_state&) = delete;
  host_state& operator=(const host_state&) = delete;
  ~host_state();

  // This is the host's thread.
  bool here() const noexcept { return home_->thread == std::this_thread::get_id(); }
  // Why this call may not be made here, if so.
  std::optional<error> refuse();
  std::optional<error> refuse_drive();

  script_task spawn(const script& what, const value_list& arguments, std::string_view name, cancel_node& below);
  script_outcome outcome_of(const anchor& task);
  // A call on the main VM's stack, outside of any task. False, and why in `problem`, when it raised.
  bool call(lua_CFunction fn, void* data, error& problem);
  // Makes `fn` a global; what becomes of it, it is destroyed in the end.
  status define(std::string_view name, lua_CFunction body, native_function fn);
  // As call, for what makes `fn` something of the scripts' (and empties it then).
  status define_by(lua_CFunction how, void* what, native_function& fn);
  // Frees what was dropped: entries of the registry, groups that nobody holds and that are empty.
  void sweep() noexcept;
  group_node& new_group(std::string name);
  void drop_group(group_node& node) noexcept;

  vm& machine() noexcept { return core_.machine(); }
  runtime& engine() noexcept { return core_.engine(); }
  lua_host& core() noexcept { return core_; }
  const std::shared_ptr<anchor_home>& home() const noexcept { return home_; }
  // The collector has nothing to do before the VM has more in use than this.
  std::size_t collect_again_at = 0;

 private:
  hook_observer observer_;
  std::list<std::pair<group_node, bool>> groups_;  // and whether somebody holds it; outlive the tasks below
  lua_host core_;
  std::shared_ptr<anchor_home> home_ = std::make_shared<anchor_home>();
};

// For a group handle: its host, where this thread may use it.
host_state* use(const anchor_home& home, error* refused) noexcept;

}  // namespace perilune::detail
