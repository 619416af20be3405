// Making and ending what is behind a host, spawning and reading outcomes. See host_state.hpp.
#include "host_state.hpp"

#include <algorithm>
#include <utility>

#include "error_object.hpp"
#include "host_values.hpp"
#include "library.hpp"
#include "object.hpp"
#include "wait_name.hpp"

namespace perilune::detail {

namespace {

error misuse(std::string text) { return {error_kind::misuse, std::move(text), 0, {}}; }

template <class F, class... A>
void tell(const F& hook, const A&... what) noexcept {
  if (!hook) return;
  try {
    hook(what...);
  } catch (...) {
    // A host's function; there is nobody to tell.
  }
}

lua_host_options lua_options(host_options&& given, runtime_options&& engine, hook_observer& hooks) {
  lua_host_options options;
  if (given.deterministic && given.preempt.how != preemption::mode::fuel)
    given.preempt = {.how = preemption::mode::fuel};
  if (hooks.wanted()) engine.observed_by = &hooks;
  options.runtime = std::move(engine);
  options.preempt = given.preempt;
  if (given.report)
    options.report = [report = std::move(given.report)](const std::string& text) { tell(report, text); };
  options.limits = given.limits;
  options.allocate = given.allocate;
  options.allocate_data = given.allocate_data;
  options.deterministic = given.deterministic;
  options.manual_gc = given.gc == gc::manual;
  if (given.log) options.log = [log = std::move(given.log)](const log_record& record) { tell(log, record); };
  options.load_module = std::move(given.load_module);
  return options;
}

reply open_body(lua_State* L, vm&) {
  open_host_types(L);
  search_first(L, *static_cast<const std::string*>(lua_touserdata(L, 1)));
  return 0;
}

}  // namespace

host_state* use(const anchor_home& home, error* refused) noexcept {
  auto& shared = const_cast<anchor_home&>(home);
  const std::lock_guard lock(shared.mutex);
  if (home.host && home.thread == std::this_thread::get_id()) return home.host;
  if (refused) *refused = misuse(home.host ? "used on a thread that is not its host's" : "its host is gone");
  return nullptr;
}

host_state::host_state(host_options options, runtime_options engine)
    : observer_(std::move(options.hooks)), core_(lua_options(std::move(options), std::move(engine), observer_)) {
  home_->host = this;
  machine().anchors = home_;
  if (!core_.invalid().empty()) return;
  error problem;
  call(protect::native<open_body>, &options.module_folder, problem);
}

// Tasks end, with their closers, before anything is forgotten.
host_state::~host_state() {
  core_.close();
  const std::lock_guard lock(home_->mutex);
  home_->host = nullptr;
}

std::optional<error> host_state::refuse() {
  if (!here()) return misuse("a host was used on a thread that is not its own");
  const std::string& invalid = core_.invalid();
  if (invalid.empty()) return std::nullopt;
  return error{machine().opened() ? error_kind::misuse : error_kind::limit, invalid, 0, {}};
}

std::optional<error> host_state::refuse_drive() {
  auto why = refuse();
  return why ? why : core_.engine().refuse_run();
}

bool host_state::call(lua_CFunction fn, void* data, error& problem) {
  sweep();
  machine().problem = {};
  if (protect::call_outside(machine().main(), fn, data, &problem.message)) return true;
  if (!machine().problem.message.empty()) problem = machine().problem;
  return false;
}

void host_state::sweep() noexcept {
  std::vector<int> dropped;
  {
    const std::lock_guard lock(home_->mutex);
    dropped.swap(home_->dropped);
  }
  for (const int entry : dropped) luaL_unref(machine().main(), LUA_REGISTRYINDEX, entry);
  for (auto at = groups_.begin(); at != groups_.end();) {
    if (at->second || !at->first.children.empty()) {
      ++at;
      continue;
    }
    at->first.detach();
    at = groups_.erase(at);
  }
}

namespace {

struct spawning {
  const script& what;
  const value_list& arguments;
  std::string_view name;
  cancel_node& below;
  lua_task* task = nullptr;
  int entry = LUA_NOREF;
};

reply spawn_body(lua_State* L, vm& v) {
  auto& spawn = *static_cast<spawning*>(lua_touserdata(L, 1));
  if (v.closing()) return raise_error(v, misuse("nothing can be spawned any more: the host is closing"));
  if (const reply full = check_room(v); full < 0) return full;
  lua_pushboolean(L, 0);
  spawn.entry = luaL_ref(L, LUA_REGISTRYINDEX);
  int options = 0;
  if (!spawn.name.empty()) {
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, spawn.name.data(), spawn.name.size());
    lua_setfield(L, -2, "name");
    options = lua_gettop(L);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, spawn.what.held()->entry());
  protect::need_stack(L, static_cast<int>(spawn.arguments.size()) + LUA_MINSTACK, "too many arguments");
  bool whole = true;
  for (const value& each : spawn.arguments) whole &= push_value(L, v, each);
  if (!whole)
    return raise_error(v, misuse("an argument of another host, or an object of a class that is not defined here"));
  spawn.task = &spawn_function(L, v, static_cast<int>(spawn.arguments.size()), {.below = &spawn.below}, options);
  lua_rawseti(L, LUA_REGISTRYINDEX, spawn.entry);
  return 0;
}

}  // namespace

script_task host_state::spawn(const script& what, const value_list& arguments, std::string_view name,
                              cancel_node& below) {
  if (auto why = refuse()) return script_task(*std::move(why));
  if (!what) return script_task(misuse("spawned a script that is none"));
  if (what.held()->home() != home_) return script_task(misuse("spawned a script of another host"));
  spawning made{what, arguments, name, below};
  error problem;
  const bool spawned = call(protect::native<spawn_body>, &made, problem);
  if (!spawned) {
    luaL_unref(machine().main(), LUA_REGISTRYINDEX, made.entry);
    return script_task(std::move(problem));
  }
  machine().tasks().nudge();
  return {std::make_shared<const anchor>(home_, made.entry, made.task), made.task->id};
}

namespace {

struct reading {
  const anchor& task;
  value_list results{};
  script_error problem{};
};

std::string text_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : "";
  return {text, size};
}

reply read_failure(lua_State* L, vm& v, script_error& problem) {
  const int object = lua_gettop(L);
  problem.kind = object_at<error_object>(L, object).kind;
  error_object::push_text(L, object);
  error_object::push_report(L, object);
  problem.message = text_at(L, -2);
  problem.full_report = text_at(L, -1);
  lua_getiuservalue(L, object, error_object::value);
  read_value(L, v, -1, problem.raised);
  if (!problem.raised.is_nil()) return 0;
  error_object::push_field(L, object, "message");
  read_value(L, v, -1, problem.raised);
  return 0;
}

reply read_outcome_body(lua_State* L, vm& v) {
  auto& read = *static_cast<reading*>(lua_touserdata(L, 1));
  lua_rawgeti(L, LUA_REGISTRYINDEX, read.task.entry());
  const int handle = lua_gettop(L);
  lua_task& task = *read.task.task();
  const int count = task.push_outcome(L, handle);
  if (task.status != task_state::returned) return read_failure(L, v, read.problem);
  const int first = lua_gettop(L) - count + 2;
  for (int i = 0; i < count - 1; ++i)
    if (!read_value(L, v, first + i, read.results.emplace_back()))
      return raise_error(v, {error_kind::transfer, "a result is nested too deep", 0, {}});
  return 0;
}

}  // namespace

script_outcome host_state::outcome_of(const anchor& task) {
  using way = script_outcome::way;
  reading read{task};
  error problem;
  const task_state how = task.task()->status;
  if (!call(protect::native<read_outcome_body>, &read, problem)) {
    read.problem = {error_kind::limit, std::move(problem.message), {}, {}};
    return {how == task_state::cancelled ? way::cancelled : way::failed, std::move(read.problem)};
  }
  if (how == task_state::returned) return script_outcome(std::move(read.results));
  return {how == task_state::cancelled ? way::cancelled : way::failed, std::move(read.problem)};
}

group_node& host_state::new_group(std::string name) {
  group_node& node = groups_.emplace_back(std::piecewise_construct, std::tuple(), std::tuple(true)).first;
  node.name = std::move(name);
  node.set(cancel_node::is_root);
  node.attach_to(machine().tasks().roots);
  return node;
}

void host_state::drop_group(group_node& node) noexcept {
  cancel(node, reason_ptr::make(cancel_source::scope, {}, 0, node.name));
  machine().tasks().nudge();
  for (auto& [each, held] : groups_)
    if (&each == &node) held = false;
}

// On another thread than the host's the group is dropped there, soon.
group_state::~group_state() {
  if (host_state* owner = use(*home, nullptr)) {
    owner->drop_group(*node);
    return;
  }
  const std::lock_guard lock(home->mutex);
  if (!home->host) return;
  try {
    home->host->engine().post(0, [owner = home->host, node = node] { owner->drop_group(*node); });
  } catch (const std::bad_alloc&) {
    // The group lives on until its host ends.
  }
}

// Hooks.

namespace {

task_info info_of(const task_header& task) noexcept {
  return {task.id, task.name ? task.name : std::string_view(), to_string(task.shown_state())};
}

}  // namespace

bool hook_observer::wanted() const noexcept {
  return hooks_.spawned || hooks_.resumed || hooks_.suspended || hooks_.done || hooks_.slow;
}

void hook_observer::spawned(task_header& task) noexcept { tell(hooks_.spawned, info_of(task)); }

void hook_observer::resumed(task_header& task) noexcept {
  tell(hooks_.resumed, info_of(task));
  running_ = &task;
  if (hooks_.slow) resumed_at_ = std::chrono::steady_clock::now();
}

void hook_observer::tell_slow(task_header& task) noexcept {
  if (std::exchange(running_, nullptr) != &task) return;
  const auto ran = std::chrono::steady_clock::now() - resumed_at_;
  if (ran > hooks_.slow_slice) tell(hooks_.slow, info_of(task), duration(ran), std::string_view(task.where()));
}

void hook_observer::suspended(task_header& task) noexcept {
  if (hooks_.slow) tell_slow(task);
  if (hooks_.suspended) tell(hooks_.suspended, info_of(task), std::string_view(name_of_wait(task)));
}

void hook_observer::ended(task_header& task) noexcept {
  if (hooks_.slow) tell_slow(task);
  tell(hooks_.done, info_of(task));
}

}  // namespace perilune::detail
