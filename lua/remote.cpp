// Asking for a function to run elsewhere, and waiting for its end. See remote.hpp.
#include "remote.hpp"

#include "error_object.hpp"
#include "object.hpp"
#include "shipped_chunk.hpp"
#include "vm_group.hpp"

namespace perilune {

namespace {

reply remote_ended(lua_State* L, vm& v) {
  remote& call = object_at<remote>(L, 1);
  call.end = call.wait->take();
  const remote_end& end = call.end;
  if (end.problem.kind == error_kind::cancelled && v.running().cancel_pending()) return action::raise_cancel;
  if (!end.problem.message.empty()) return raise_error(v, end.problem);
  const int before = lua_gettop(L);
  if (!unpack(L, v, end.values)) return raise_error(v, {error_kind::transfer, v.message, 0, {}});
  if (end.returned) return lua_gettop(L) - before;
  const error_object* failure = to_object<error_object>(L, -1);
  const bool cancelled = failure && failure->kind == error_kind::cancelled;
  return cancelled && v.running().cancel_pending() ? action::raise_cancel : action::raise_top;
}

// Body of the task that stands for the function. It starts even when cancelled, where the function may run already.
reply remote_body(lua_State* L, vm& v) {
  operation& op = object_at<remote>(L, 1).wait->op();
  if (v.running().cancel_pending() && !op.holds(v.running())) return action::raise_cancel;
  if (op.try_commit(v.running())) return remote_ended(L, v);
  return wait_for(L, v, op, remote_ended);
}

reply collect_remote(lua_State* L, vm&) {
  object_at<remote>(L, 1).~remote();
  return 0;
}

std::string text_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : "";
  return {text, size};
}

// Pushes package.path, package.cpath, the name asked for and the loaded modules.
void push_surroundings(lua_State* L, int options) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  const int package = lua_gettop(L);
  const bool there = lua_istable(L, package);
  for (const char* field : {"path", "cpath"})
    there ? static_cast<void>(lua_getfield(L, package, field)) : lua_pushnil(L);
  options ? static_cast<void>(lua_getfield(L, options, "name")) : lua_pushnil(L);
  lua_remove(L, package);
  push_loaded_modules(L);
}

// The surroundings stand on top of the stack. A reply < 0 refuses.
reply make_call(lua_State* L, vm& v, const spawn_request& asked, int values, int at, make_remote make) {
  auto request = std::make_shared<remote_request>();
  request->path = text_at(L, -4);
  request->cpath = text_at(L, -3);
  request->name = text_at(L, -2);
  std::string problem;
  if (!pack(L, asked.function, values, {"function", "args"}, request->values, problem))
    return raise_error(v, {error_kind::transfer, std::move(problem), 0, {}});
  object_at<remote>(L, at).wait = make(v, std::move(request), asked);
  return 0;
}

// Natives of perilune.remote.

const remote_request& request_at(lua_State* L, int index) {
  return *static_cast<const remote_request*>(lua_touserdata(L, index));
}

// surroundings(request) -> names of modules, path, cpath
reply surroundings_body(lua_State* L, vm&) {
  const remote_request& request = request_at(L, 1);
  lua_createtable(L, static_cast<int>(request.values.modules.size()), 0);
  lua_Integer i = 0;
  for (const std::string& name : request.values.modules) {
    lua_pushlstring(L, name.data(), name.size());
    lua_rawseti(L, -2, ++i);
  }
  lua_pushlstring(L, request.path.data(), request.path.size());
  lua_pushlstring(L, request.cpath.data(), request.cpath.size());
  return 3;
}

// values(request) -> function, arguments. A text in place of the function is that of one.
reply values_body(lua_State* L, vm& v) {
  if (!unpack(L, v, request_at(L, 1).values)) return raise_error(v, {error_kind::transfer, v.message, 0, {}});
  std::size_t size = 0;
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char* text = lua_tolstring(L, 2, &size);
    if (luaL_loadbufferx(L, text, size, text, "t") != LUA_OK) return action::raise_top;
    lua_replace(L, 2);
  }
  return lua_gettop(L) - 1;
}

}  // namespace

reply spawn_remote(lua_State* L, vm& v, const spawn_request& asked, make_remote make) {
  const int values = lua_gettop(L) - asked.function + 1;
  push_object<remote>(L, type_name::remote, 0);
  const int at = lua_gettop(L);
  push_surroundings(L, asked.kept);
  if (const reply refused = make_call(L, v, asked, values, at, make); refused < 0) return refused;
  lua_settop(L, at);
  lua_pushcfunction(L, protect::native<remote_body>);
  lua_insert(L, at);
  lua_task& task = spawn_function(L, v, 1, asked.options, asked.kept);
  task.elsewhere = object_at<remote>(L, at + 1).wait->start();
  return 1;
}

void push_remote_entry(lua_State* L) {
  constexpr lua_CFunction functions[] = {protect::native<surroundings_body>, protect::native<values_body>};
  push_shipped_entry(L, registry_slot::remote_entry, "perilune.remote", functions);
}

void pack_end(lua_State* L, int first, int count, bool returned, remote_end& end) noexcept {
  try {
    end.returned = returned;
    if (pack(L, first, count, {nullptr, "results"}, end.values, end.problem.message)) return;
    end.problem.kind = error_kind::transfer;
  } catch (...) {
    end.problem = {error_kind::limit, "not enough memory", 0, {}};
  }
}

bool remote_task::spawn_in(vm& machine, const spawn_options& options) noexcept {
  options_ = options;
  if (protect::call_outside(machine.main(), spawn, this, &end_.problem.message)) return true;
  end_.problem.kind = error_kind::limit;
  return false;
}

int remote_task::spawn(lua_State* L) {
  auto& self = *static_cast<remote_task*>(lua_touserdata(L, 1));
  const std::string& name = self.request_->name;
  lua_settop(L, 0);
  if (!name.empty()) {
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, name.data(), name.size());
    lua_setfield(L, -2, "name");
  }
  const int options = lua_gettop(L);
  push_remote_entry(L);
  lua_pushlightuserdata(L, const_cast<remote_request*>(self.request_.get()));
  self.task_ = &spawn_function(L, vm_of(L), 1, self.options_, options);
  self.task_->watch_end(self);
  return 0;
}

void remote_task::task_settled(lua_task& task) noexcept {
  pack_settling(task, true, end_);
  task_ = nullptr;
  ended();
}

namespace {

struct packing {
  bool looks;
  remote_end* end;
};

// pack(packing, handle). A failure that nobody has looked at stays so.
int pack_outcome(lua_State* L) {
  const auto& how = *static_cast<const packing*>(lua_touserdata(L, 1));
  auto& task = object_at<lua_task>(L, 2);
  const bool seen = how.looks || task.is(task_header::trait::observed);
  const int count = task.push_outcome(L, 2) - 1;
  protect::need_stack(L, LUA_MINSTACK);
  if (!seen) {
    task.unmark(task_header::trait::observed);
    if (task.status == task_state::failed) error_object::watch(L, -1);
  }
  push_loaded_modules(L);
  pack_end(L, 4, count, task.status == task_state::returned, *how.end);
  return 0;
}

}  // namespace

void pack_task_end(lua_State* L, int handle, bool looks, remote_end& end) noexcept {
  packing how{looks, &end};
  lua_pushcfunction(L, pack_outcome);
  lua_pushlightuserdata(L, &how);
  lua_pushvalue(L, handle);
  if (protect::try_call(L, 2, 0)) return;
  lua_pop(L, 1);
  end.problem = {error_kind::limit, "not enough memory", 0, {}};
}

// Nothing of a script's, no finalizer either, may run meanwhile.
void pack_settling(lua_task& task, bool looks, remote_end& end) noexcept {
  lua_State* L = task.host->main();
  if (!lua_checkstack(L, LUA_MINSTACK))
    return static_cast<void>(end.problem = {error_kind::limit, "not enough memory", 0, {}});
  const vm::main_in_use use(*task.host);
  const bool collects = lua_gc(L, LUA_GCISRUNNING) != 0;
  lua_gc(L, LUA_GCSTOP);
  const int top = lua_gettop(L);
  task.host->push_handle(L, task.slot);
  pack_task_end(L, top + 1, looks, end);
  lua_settop(L, top);
  if (collects) lua_gc(L, LUA_GCRESTART);
}

void pass_cancel(lua_task& task, const cancel_reason& why, bool kills) noexcept {
  const auto request = kills ? perilune::kill : perilune::cancel;
  request(task, reason_ptr::make(why.source, why.text, why.by_task, why.by_name));
}

namespace {

reply parallel_body(lua_State* L, vm& v) {
  spawn_request asked;
  asked.call = "parallel";
  asked.takes_worker = true;
  if (const reply refused = read_spawn_arguments(L, v, 1, asked); refused < 0) return refused;
  return spawn_remote(L, v, asked, call_on_worker);
}

// A thread is a daemon unless told otherwise: nobody waits for what may never end.
reply thread_body(lua_State* L, vm& v) {
  spawn_request asked;
  asked.call = "thread";
  asked.options.daemon = true;
  if (const reply refused = read_spawn_arguments(L, v, 1, asked); refused < 0) return refused;
  return spawn_remote(L, v, asked, call_on_thread);
}

reply workers_body(lua_State* L, vm& v) {
  lua_pushinteger(L, v.host_runtime().workers());
  return 1;
}

// The workers are numbered from 1; a VM that is on none of them has nil.
reply worker_id_body(lua_State* L, vm& v) {
  if (v.has_worker() && !v.options().group->on_own_thread())
    lua_pushinteger(L, static_cast<lua_Integer>(v.options().worker) + 1);
  else
    lua_pushnil(L);
  return 1;
}

}  // namespace

void open_remotes(lua_State* L) {
  constexpr library_function functions[] = {
      {"blocking", protect::native<blocking_body>},   {"parallel", protect::native<parallel_body>},
      {"thread", protect::native<thread_body>},       {"workers", protect::native<workers_body>},
      {"worker_id", protect::native<worker_id_body>},
  };
  set_functions(L, functions);
}

void define_remote(lua_State* L) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_remote>}};
  define_type(L, type_name::remote, "perilune.remote", {}, metamethods);
}

}  // namespace perilune
