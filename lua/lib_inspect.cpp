// peri.tasks, and perilune.native.inspect: what only native code can see, for perilune.inspect. See lua-api: Looking inside.
#include <perilune/select_wait.hpp>
#include <perilune/wake_sources.hpp>

#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

double age_in_seconds(const vm& v, std::uint32_t since_ms) noexcept { return (v.tasks().now_ms() - since_ms) / 1000.0; }

void set_text(lua_State* L, const char* name, const char* text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}
void set_number(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

bool waits_for_children(const task_header& task) noexcept {
  return !task.selecting && (task.is(task_header::trait::uninterruptible) || !task.op);
}

// What a waiting task waits for.
wait_description waiting_on(const task_header& task) noexcept {
  if (task.selecting) return {"select", "operations", task.selecting};
  if (waits_for_children(task)) return {"children", "scope", nullptr};
  return task.op->describe();
}

void push_waiting_on(lua_State* L, const vm& v, const task_header& task) {
  const wait_description wait = waiting_on(task);
  lua_createtable(L, 0, 3);
  set_text(L, "op", wait.verb);
  set_text(L, "resource", wait.resource);
  set_number(L, "since", age_in_seconds(v, task.stamp));
}

// Sets what only a Lua task has: how often it ran, its names, where it was spawned and where it stands.
void set_script_fields(lua_State* L, vm& v, lua_task& task) {
  const int record = lua_gettop(L);
  set_count(L, "busy", task.resumes);
  v.push_handle(L, task.slot);
  lua_task::push_spawn_site(L, record + 1);
  lua_setfield(L, record, "spawned_at");
  if (task.has_extras) {
    lua_task::push_extras(L, record + 1);
    lua_getfield(L, -1, "name");
    lua_setfield(L, record, "name");
    lua_getfield(L, -1, "labels");
    lua_setfield(L, record, "labels");
  }
  lua_settop(L, record);
  char line[lua_task::longest_place];
  task.write_where(line, sizeof line);
  if (*line) set_text(L, "line", line);
}

void push_record(lua_State* L, vm& v, task_header& task) {
  lua_createtable(L, 0, 10);
  set_count(L, "id", task.id);
  set_text(L, "state", to_string(task.shown_state()));
  set_number(L, "age", age_in_seconds(v, task.spawned_ms));
  if (const task_header* parent = task.parent_task()) set_count(L, "parent", parent->id);
  if (task.status == task_state::waiting) {
    push_waiting_on(L, v, task);
    lua_setfield(L, -2, "waiting_on");
  }
  if (lua_task* script = to_lua_task(task, v)) return set_script_fields(L, v, *script);
  set_text(L, "name", task.name);
}

// Records of the tasks below `node`, parents before children; `add` sets more fields of the record on top.
void append_tree(lua_State* L, vm& v, cancel_node& node, int list, void (*add)(lua_State*, vm&, task_header&)) {
  for_each_child(node, [&](task_header& task) {
    protect::need_stack(L, 16, "too deep a tree of tasks");
    push_record(L, v, task);
    add(L, v, task);
    lua_rawseti(L, list, static_cast<lua_Integer>(lua_rawlen(L, list)) + 1);
    append_tree(L, v, task, list, add);
  });
}

void push_records(lua_State* L, vm& v, void (*add)(lua_State*, vm&, task_header&)) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  append_tree(L, v, v.tasks().roots, list, add);
  append_tree(L, v, v.tasks().detached, list, add);
}

reply tasks_body(lua_State* L, vm& v) {
  push_records(L, v, [](lua_State*, vm&, task_header&) {});
  return 1;
}

// Whether the userdata at an index has the address in it.
bool contains(lua_State* L, int index, const void* address) noexcept {
  if (lua_type(L, index) != LUA_TUSERDATA) return false;
  const auto* begin = static_cast<const char*>(lua_touserdata(L, index));
  const auto* at = static_cast<const char*>(address);
  return at >= begin && at < begin + lua_rawlen(L, index);
}

// Moves the object with the address in it from the call in which `leaf` waits: it stands on its stack, or is what an object
// there refers to. Nothing where it is no object of the VM.
bool push_awaited(lua_State* L, lua_State* leaf, const void* address) {
  if (!address || !lua_checkstack(leaf, 2)) return false;
  const int top = lua_gettop(leaf);
  for (int i = 1; i <= top; ++i) {
    if (lua_type(leaf, i) != LUA_TUSERDATA) continue;
    lua_pushvalue(leaf, i);
    for (int n = 1; n <= 3 && !contains(leaf, -1, address); ++n) {
      lua_pop(leaf, 1);
      lua_getiuservalue(leaf, i, n);
    }
    if (contains(leaf, -1, address)) return lua_xmove(leaf, L, 1), true;
    lua_pop(leaf, 1);
  }
  return false;
}

// Appends what one operation of a waiting task waits for to the list on top.
void append_arm(lua_State* L, vm& v, lua_task& task, const operation& op) {
  const wait_description wait = op.describe();
  lua_createtable(L, 0, 5);
  set_text(L, "op", wait.verb);
  set_text(L, "resource", wait.resource);
  if (task.leaf && push_awaited(L, task.leaf, wait.object)) lua_setfield(L, -2, "object");
  if (const task_header* holder = op.held_by()) {
    set_count(L, "on", holder->id);
    v.message = op.held_at();
    if (!v.message.empty()) set_text(L, "held_at", v.message.c_str());
  }
  lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
}

void push_arms(lua_State* L, vm& v, lua_task& task) {
  lua_newtable(L);
  if (task.selecting) {
    for (std::size_t i = 0; i < task.selecting->size(); ++i) append_arm(L, v, task, *(*task.selecting)[i].op);
  } else if (task.op && !waits_for_children(task)) {
    append_arm(L, v, task, *task.op);
  }
}

// thread: of a Lua task. limited: a time limit or a cancellation ends its wait. arms: what it waits for.
void add_native_fields(lua_State* L, vm& v, task_header& task) {
  set_flag(L, "limited", task.top->deadline_in_force() || task.cancel_pending());
  set_flag(L, "daemon", task.is(task_header::trait::daemon));
  lua_task* script = to_lua_task(task, v);
  if (!script) return;
  vm::push_registry(L, registry_slot::slots);
  lua_rawgeti(L, -1, 2 * static_cast<lua_Integer>(script->slot) + 1);
  lua_setfield(L, -3, "thread");
  lua_pop(L, 1);
  if (task.status != task_state::waiting) return;
  push_arms(L, v, *script);
  lua_setfield(L, -2, "arms");
}

// snapshot() -> what peri.tasks gives, with more.
reply snapshot_body(lua_State* L, vm& v) {
  push_records(L, v, add_native_fields);
  return 1;
}

// Appends what one task holds to the list on top.
void append_holder(lua_State* L, vm& v, const holding& held) {
  lua_createtable(L, 0, 4);
  set_count(L, "task", held.taken_by);
  set_count(L, "permits", held.permits);
  set_number(L, "since", age_in_seconds(v, held.since_ms));
  v.message = held.site.text();
  if (!v.message.empty()) set_text(L, "at", v.message.c_str());
  lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
}

// holders(object) -> a list of who holds it, in the order in which they took it.
reply holders_body(lua_State* L, vm& v) {
  lua_newtable(L);
  const linked_queue<holdable>& held = v.tasks().holds.held();
  for (holdable* each = held.front(); each; each = held.after(*each)) {
    if (!contains(L, 1, each)) continue;
    const linked_queue<holding>& holdings = each->holdings();
    for (holding* one = holdings.front(); one; one = holdings.after(*one)) append_holder(L, v, *one);
  }
  return 1;
}

// stats() -> counts of the worker and the VM.
reply stats_body(lua_State* L, vm& v) {
  const wake_sources wakes = may_wake(v.tasks());
  const blocking_stats calls = v.host_runtime().blocking();
  lua_createtable(L, 0, 10);
  set_count(L, "live", v.tasks().live_tasks());
  set_count(L, "resumes", v.tasks().resumes());
  set_count(L, "cancelling", v.tasks().cancelling_tasks());
  set_count(L, "timers", wakes.timers);
  set_count(L, "external", wakes.external);
  set_count(L, "memory", static_cast<std::uint64_t>(lua_gc(L, LUA_GCCOUNT)) * 1024 + lua_gc(L, LUA_GCCOUNTB));
  set_count(L, "unobserved", v.unobserved());
  set_count(L, "workers", v.host_runtime().workers());
  set_count(L, "blocking_running", calls.running);
  set_count(L, "blocking_queued", calls.queued);
  return 1;
}

// slots() -> the table that keeps the threads and handles of tasks.
reply slots_body(lua_State* L, vm&) {
  vm::push_registry(L, registry_slot::slots);
  return 1;
}

// stacked(thread) -> a list of what stands on the stack of a thread that has not begun to run.
reply stacked_body(lua_State* L, vm&) {
  lua_newtable(L);
  lua_State* thread = lua_tothread(L, 1);
  lua_Debug frame;
  if (!thread || thread == L || lua_getstack(thread, 0, &frame) || !lua_checkstack(thread, 1)) return 1;
  for (int i = 1, top = lua_gettop(thread); i <= top; ++i) {
    if (lua_isnil(thread, i)) continue;
    lua_pushvalue(thread, i);
    lua_xmove(thread, L, 1);
    lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
  }
  return 1;
}

}  // namespace

int open_inspect_natives(lua_State* L) {
  constexpr library_function functions[] = {
      {"snapshot", protect::native<snapshot_body>}, {"holders", protect::native<holders_body>},
      {"stats", protect::native<stats_body>},       {"slots", protect::native<slots_body>},
      {"stacked", protect::native<stacked_body>},
  };
  lua_createtable(L, 0, 5);
  set_functions(L, functions);
  return 1;
}

void open_inspection(lua_State* L) {
  constexpr library_function functions[] = {{"tasks", protect::native<tasks_body>}};
  set_functions(L, functions);
}

}  // namespace perilune
