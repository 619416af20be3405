// Opening and closing a VM, its pool of threads, and reporting failures nobody saw. See vm.hpp.
#include "vm.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "lua_task.hpp"
#include "object.hpp"
#include "protect.hpp"

namespace perilune {

namespace {

int open_registry(lua_State* L) {
  const auto last = registry_key(type_name::last);
  for (lua_Integer i = 1; i <= last; ++i) {
    lua_settop(L, 0);
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, i) != LUA_TNIL) continue;
    lua_pushinteger(L, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, i);
  }
  lua_settop(L, 0);
  lua_newtable(L);
  vm::set_registry(L, registry_slot::slots);
  push_weak_table(L);
  vm::set_registry(L, registry_slot::failures);
  lua_newtable(L);
  vm::set_registry(L, registry_slot::linked_tasks);
  return open_library(L);
}

// How often the hook of mode fuel looks: a run's fuel is exact to this.
std::uint64_t portion_of(const vm_options& options) noexcept {
  constexpr std::uint64_t largest = 1000;
  constexpr std::uint64_t smallest = 10;
  const std::uint64_t fuel = options.rules.each_run.fuel;
  if (fuel == run_limits::none) return options.preempt.fuel;
  return std::min(options.preempt.fuel, std::clamp(fuel / 16, smallest, largest));
}

}  // namespace

vm::vm(runtime& rt, vm_options options)
    : runtime_(rt),
      idle_(options.worker == vm_options::no_worker ? std::make_unique<scheduler>(rt.worker(0), rt.workers())
                                                    : nullptr),
      tasks_(idle_ ? *idle_ : rt.worker_scheduler(options.worker)),
      options_(std::move(options)) {
  if (options_.allocate) memory_.draw_from(options_.allocate, options_.allocate_data);
  main_ = lua_newstate(allocator::reallocate, &memory_);
  if (!main_) {
    message = "not enough memory";
    return;
  }
  *static_cast<vm**>(lua_getextraspace(main_)) = this;
  outside_ = new lua_task(*this);
  outside_->home = &tasks_;
  running_ = outside_;
  // Where the host collects by the clock, it does in steps of 2^7 bytes' worth instead of 2^13, to end near its time.
  lua_gc(main_, LUA_GCINC, 200, 200, options_.manual_gc ? 7 : 0);
  lua_gc(main_, LUA_GCSTOP);  // hardly anything is garbage yet
  opened_ = protect::call_outside(main_, open_registry, nullptr, &message);
  // The table of slots stands at the bottom of the main stack as well, where it can be reached without a look-up.
  push_registry(main_, registry_slot::slots);
  main_idle_ = true;
  fuel_portion = portion_of(options_);
  limit_memory();
  // Where instructions are counted, time matters only when they take very long.
  const int slices = options_.preempt.how == preemption::mode::slice ? 1 : 10;
  if (options_.dog && has_worker()) watch = std::make_unique<turn_watch>(*this, *options_.dog, slices);
  protect::rearm_fuel(main_, *this);
  if (!options_.manual_gc) lua_gc(main_, LUA_GCRESTART);
}

void vm::limit_memory() noexcept {
  const std::size_t soft = options_.rules.limits.memory;
  if (soft == 0) return;
  const std::size_t hard = options_.rules.limits.hard_memory;
  memory_.limit(soft, !options_.isolated ? soft : std::max(soft + 1, hard ? hard : soft + soft / 8));
}

void vm::answer_for(lua_State* L, std::size_t bytes, memory_share& share) {
  if (memory_.answer_for(bytes, share)) return;
  lua_gc(L, LUA_GCCOLLECT);
  if (!memory_.answer_for(bytes, share)) throw std::bad_alloc();
}

vm::~vm() {
  *here = nullptr;
  main_idle_ = false;
  if (main_) lua_close(main_);
  lua_select::release_all(free_selects);
  lua_select::release_all(building);
  delete outside_;
}

std::uint32_t vm::take_slot(lua_State* L) {
  if (!free_slots_.empty()) {
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  const auto slot = static_cast<std::uint32_t>(threads_.size());
  push_registry(L, registry_slot::slots);
  lua_State* thread = lua_newthread(L);
  set_mark(thread, thread_mark::of_task, true);
  lua_rawseti(L, -2, 2 * static_cast<lua_Integer>(slot) + 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 2 * static_cast<lua_Integer>(slot) + 2);
  lua_pop(L, 1);
  threads_.push_back(thread);
  free_slots_.reserve(threads_.capacity());
  return slot;
}

// Sets the handle of a slot to the value on top of the main stack (popped).
void vm::set_handle(std::uint32_t slot) noexcept {
  const lua_Integer key = 2 * static_cast<lua_Integer>(slot) + 2;
  if (main_idle_) [[likely]]
    return lua_rawseti(main_, 1, key);
  push_registry(main_, registry_slot::slots);
  lua_insert(main_, -2);
  lua_rawseti(main_, -2, key);
  lua_pop(main_, 1);
}

void vm::hold_handle(lua_State* L, std::uint32_t slot, int index) {
  lua_pushvalue(L, index);
  if (L != main_) lua_xmove(L, main_, 1);
  set_handle(slot);
}

void vm::push_handle(lua_State* L, std::uint32_t slot) const {
  push_registry(L, registry_slot::slots);
  lua_rawgeti(L, -1, 2 * static_cast<lua_Integer>(slot) + 2);
  lua_remove(L, -2);
}

void vm::free_slot(std::uint32_t slot) noexcept {
  lua_pushboolean(main_, 0);
  set_handle(slot);
  free_slots_.push_back(slot);
}

void vm::report(const std::string& text) const {
  if (options_.report) return options_.report(text);
  std::fprintf(stderr, "perilune: %s\n", text.c_str());
}

// Gives the failure to the script's reporter, in a task. False when there is none, when no task can start any more, or
// when it is a reporter that failed, or a task below one.
bool vm::tell_reporter(lua_State* L, int failure) {
  push_registry(L, registry_slot::on_unobserved);
  lua_getiuservalue(L, failure, error_object::handle);
  const lua_task* task = to_object<lua_task>(L, -1);
  const bool starts = !closing_ && (in_task() || !options_.isolated) && !tasks_.detached.has(cancel_node::cancelled);
  if (!is_callable(L, -2) || !starts || (task && task->reports)) {
    lua_pop(L, 2);
    return false;
  }
  lua_pushvalue(L, failure);
  spawn_function(L, *this, 2, {.detached = true}).reports = true;
  lua_pop(L, 4);
  return true;
}

void vm::report_failure(lua_State* L, int index) {
  index = lua_absindex(L, index);
  error_object& failure = object_at<error_object>(L, index);
  failure.observe();
  const int top = lua_gettop(L);
  const auto tell = [](lua_State* l) {
    lua_pushboolean(l, vm_of(l).tell_reporter(l, 1));
    return 1;
  };
  lua_pushcfunction(L, tell);
  lua_pushvalue(L, index);
  const bool told = protect::try_call(L, 1, 1) && lua_toboolean(L, -1);
  lua_settop(L, top);
  if (told) return;
  const auto write = [](lua_State* l) {
    error_object::push_report(l, 1);
    return 1;
  };
  lua_pushcfunction(L, write);
  lua_pushvalue(L, index);
  const bool written = protect::try_call(L, 1, 1) && lua_type(L, -1) == LUA_TSTRING;
  // The shared scratch may be in use by the raise during which the collector runs.
  report_text(written ? lua_tostring(L, -1) : "not enough memory to say which", failure.kind);
  lua_settop(L, top);
}

// Whether the run of an isolate tells of the limit that its task came to is known when the run has ended.
void vm::report_text(std::string text, error_kind kind) {
  if (options_.isolated && kind == error_kind::limit) {
    if (at_limit_++ == 0) first_at_limit_ = std::move(text);
    return;
  }
  ++unobserved_;
  report("unobserved failure: " + text);
}

vm::unobserved_failure* vm::oldest_unobserved() noexcept {
  const auto is_left = [](const unobserved_failure& each) { return !each.lost; };
  const auto oldest = std::find_if(unobserved_failures.begin(), unobserved_failures.end(), is_left);
  return oldest == unobserved_failures.end() ? nullptr : &*oldest;
}

// It was not there, or could not be told. The second time it is given up.
void vm::note_lost(unobserved_failure& failure) noexcept {
  if (!std::exchange(failure.sought, true)) return;
  failure.lost = true;
  ++lost_;
}

void vm::report_counted() {
  ++flushes_;
  const bool told = std::exchange(limit_told_, false) && !limit_untold_;
  limit_untold_ = false;
  const std::uint64_t starved = std::exchange(starved_, 0), at_limit = std::exchange(at_limit_, 0);
  const std::uint64_t count = std::exchange(lost_, 0) + (told ? 0 : starved + at_limit);
  const std::string first = std::exchange(first_at_limit_, {});
  if (count == 0) return;
  unobserved_ += count;
  std::string text = options_.isolated ? "unobserved failures at a limit: " : "unobserved failures for want of memory: ";
  text += std::to_string(count);
  if (!told && at_limit > 0) text += "; the first: " + first;
  report(text);
}

bool vm::flush_unobserved() {
  const std::uint64_t tasks_before = tasks_.live_tasks();
  const auto report_first = [](lua_State* L) {
    vm& v = vm_of(L);
    lua_settop(L, 0);
    push_registry(L, registry_slot::failures);
    unobserved_failure& first = *v.oldest_unobserved();
    lua_rawgetp(L, 1, first.object);
    if (const auto* found = to_object<error_object>(L, 2); found && found->unobserved && &*found->place == &first)
      return v.report_failure(L, 2), 0;
    // It has been collected, and its finalizer will tell of it, if there is memory to call that.
    v.note_lost(first);
    protect::collect_with_room(L);
    return 0;
  };
  while (unobserved_failure* first = oldest_unobserved()) {
    std::string why;
    if (!protect::call_outside(main_, report_first, nullptr, &why) && oldest_unobserved() == first) note_lost(*first);
  }
  report_counted();
  return tasks_.live_tasks() > tasks_before;
}

void vm::begin_closing() {
  closing_ = true;
  flush_unobserved();
}

}  // namespace perilune
