// The side of a task's own VM. See task_link.hpp; what other VMs see of it is lib_task_link.cpp.
#include "task_link.hpp"

#include "error_object.hpp"
#include "object.hpp"
#include "vm.hpp"

namespace perilune {

namespace {

// Runs `fn` on the worker of a VM that is still there, with the VM.
template <class F>
bool visit(const detail::worker_door& door, std::shared_ptr<vm*> machine, F fn) {
  return door.post([machine = std::move(machine), fn = std::move(fn)] {
    if (*machine) fn(**machine);
  });
}

int push_linked(lua_State* L, const task_link* link) {
  vm::push_registry(L, registry_slot::linked_tasks);
  const int type = lua_rawgetp(L, -1, link);
  lua_remove(L, -2);
  return type;
}

// keep(link, handle)
int keep(lua_State* L) {
  vm::push_registry(L, registry_slot::linked_tasks);
  lua_insert(L, 2);
  lua_rawsetp(L, 2, lua_touserdata(L, 1));
  return 0;
}

// forget(link)
int forget(lua_State* L) {
  lua_pushnil(L);
  return keep(L);
}

int look_at_end(lua_State* L) {
  const auto* link = static_cast<const task_link*>(lua_touserdata(L, 1));
  if (push_linked(L, link) == LUA_TUSERDATA) object_at<lua_task>(L, -1).push_outcome(L, lua_gettop(L));
  return 0;
}

}  // namespace

std::shared_ptr<task_link> task_link::of(lua_State* L, int index) {
  const auto* task = to_object<lua_task>(L, index);
  if (!task) return nullptr;
  std::weak_ptr<task_link>& known = task->host->task_links[task->id];
  std::shared_ptr<task_link> link = known.lock();
  if (!link) {
    link = std::make_shared<task_link>(L, index);
    known = link;
    link->keep_handle(L, index);
  }
  return link;
}

task_link::task_link(lua_State* L, int index)
    : id(object_at<lua_task>(L, index).id),
      name(object_at<lua_task>(L, index).name ? object_at<lua_task>(L, index).name : ""),
      home_(object_at<lua_task>(L, index).host->tasks()),
      machine_(object_at<lua_task>(L, index).host->here) {}

// The handle stays as long as the link does; where there is no memory for that, what others see is not told here.
void task_link::keep_handle(lua_State* L, int index) {
  lua_task& task = object_at<lua_task>(L, index);
  lua_pushcfunction(L, keep);
  lua_pushlightuserdata(L, this);
  lua_pushvalue(L, index);
  if (!protect::try_call(L, 2, 0)) lua_pop(L, 1);
  if (task.settled()) {
    status_ = task.status;
    pack_task_end(L, index, false, end_);
    over->happen();
  } else {
    task_ = &task;
    kept_ = shared_from_this();
    task.watch_end(*this);
  }
}

// On any thread, and long after the task and its VM perhaps.
task_link::~task_link() {
  visit(home_, machine_, [link = static_cast<const void*>(this), task = id](vm& v) {
    const auto known = v.task_links.find(task);
    if (known != v.task_links.end() && known->second.expired()) v.task_links.erase(known);
    protect::call_outside(v.main(), forget, const_cast<void*>(link), nullptr);
  });
}

void task_link::task_settled(lua_task& task) noexcept {
  const std::shared_ptr<task_link> self = std::move(kept_);
  task_ = nullptr;
  status_ = task.status;
  pack_settling(task, false, end_);
  over->happen();
}

bool task_link::push_own(lua_State* L, const vm& v) const {
  if (v.here != machine_) return false;
  if (push_linked(L, this) == LUA_TUSERDATA) return true;
  lua_pop(L, 1);
  return false;
}

void task_link::observe() {
  if (observed_.exchange(true, std::memory_order_relaxed)) return;
  visit(home_, machine_,
        [self = shared_from_this()](vm& v) { protect::call_outside(v.main(), look_at_end, self.get(), nullptr); });
}

void task_link::cancel(const cancel_reason& why, bool kills) {
  visit(home_, machine_, [self = shared_from_this(), why, kills](vm&) {
    if (self->task_) pass_cancel(*self->task_, why, kills);
  });
}

bool task_link::ask_status(std::function<void(task_state)> say) {
  return visit(home_, machine_, [self = shared_from_this(), say = std::move(say)](vm&) {
    say(self->task_ ? self->task_->shown_state() : self->status_);
  });
}

}  // namespace perilune
