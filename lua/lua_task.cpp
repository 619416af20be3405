// Resuming a Lua task and reading its outcome. See lua_task.hpp.
#include "lua_task.hpp"

#include <cstdio>
#include <cstring>
#include <utility>

#include "error_object.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "traceback.hpp"
#include "vm.hpp"

namespace perilune {

void lua_task::on_settled() noexcept {
  while (ends_) [[unlikely]] {
    end_watcher& next = *std::exchange(ends_, ends_->next);
    next.task_settled(*this);
  }
  cancel_node::reason = reason_ptr();
  name = nullptr;
  host->free_slot(slot);
}

namespace {

void write_place(char* out, std::size_t size, const lua_Debug& frame) noexcept {
  std::snprintf(out, size, "%s:%d", frame.short_src, frame.currentline);
}

}  // namespace

std::string lua_task::where() const {
  char text[longest_place];
  write_where(text, sizeof text);
  return text;
}

void lua_task::write_where(char* out, std::size_t size) const noexcept {
  *out = 0;
  lua_State* at = status == task_state::running ? innermost : leaf;
  lua_Debug frame;
  if (!at || settled()) return;
  if (find_own_line(at, 0, frame)) return write_place(out, size, frame);
  for (int level = 0; lua_getstack(at, level, &frame); ++level)
    if (lua_getinfo(at, "Sl", &frame) && frame.currentline > 0) return write_place(out, size, frame);
}

void lua_task::push_extras(lua_State* L, int handle) {
  lua_task& task = object_at<lua_task>(L, handle);
  lua_getiuservalue(L, handle, 2);
  if (task.has_extras) return;
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "spawner");
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, handle, 2);
  task.has_extras = true;
}

// What a shipped module spawns in a task of its own counts as spawned where that task was.
void lua_task::note_spawn_site(lua_State* L, int handle) {
  lua_Debug frame;
  if (find_own_line(L, 1, frame)) {
    lua_getinfo(L, "f", &frame);
    line = frame.currentline;
  } else if (host->in_task()) {
    const lua_task& spawner = host->running();
    host->push_handle(L, spawner.slot);
    push_spawner(L, lua_gettop(L));
    lua_remove(L, -2);
    line = spawner.line;
  } else {
    return;
  }
  lua_setiuservalue(L, handle, 2);
}

void lua_task::push_spawner(lua_State* L, int handle) {
  lua_getiuservalue(L, handle, 2);
  if (!object_at<lua_task>(L, handle).has_extras) return;
  lua_getfield(L, -1, "spawner");
  lua_remove(L, -2);
}

void lua_task::write_spawn_site(lua_State* L, int handle, char* out, std::size_t size) noexcept {
  *out = 0;
  const int spawned_on = object_at<lua_task>(L, handle).line;
  push_spawner(L, handle);
  lua_Debug frame;
  if (spawned_on <= 0 || lua_type(L, -1) != LUA_TFUNCTION) return lua_pop(L, 1);
  lua_getinfo(L, ">S", &frame);
  frame.currentline = spawned_on;
  write_place(out, size, frame);
}

void lua_task::push_spawn_site(lua_State* L, int handle) {
  char text[longest_place];
  write_spawn_site(L, handle, text, sizeof text);
  if (*text)
    lua_pushstring(L, text);
  else
    lua_pushnil(L);
}

std::string lua_task::spawned_at() const {
  if (settled()) return {};
  char text[longest_place];
  lua_State* L = host->main();
  host->push_handle(L, slot);
  write_spawn_site(L, lua_gettop(L), text, sizeof text);
  lua_pop(L, 1);
  return text;
}

namespace {

int push_packed(lua_State* L, int handle) {
  lua_getiuservalue(L, handle, 1);
  const int table = lua_gettop(L);
  lua_getfield(L, table, "n");
  const int count = static_cast<int>(lua_tointeger(L, -1));
  lua_pop(L, 1);
  protect::need_stack(L, count + 1, "too many results");
  for (int i = 1; i <= count; ++i) lua_rawgeti(L, table, i);
  lua_remove(L, table);
  return count;
}

// Gives the error object at `object` what the cancellation says.
void add_cancel_fields(lua_State* L, int handle, int object) {
  lua_getiuservalue(L, handle, 1);
  if (to_object<error_object>(L, -1)) {
    lua_getiuservalue(L, -1, error_object::fields);
    lua_setiuservalue(L, object, error_object::fields);
    object_at<error_object>(L, object).shares_fields = true;
  }
  lua_settop(L, object);
}

// The error object of a task that was cancelled or ran out of memory, made when first asked for.
void push_late_error(lua_State* L, lua_task& task, int handle) {
  const bool cancelled = task.status == task_state::cancelled;
  error_object::push_new(L, *task.host, cancelled ? error_kind::cancelled : error_kind::limit, false);
  const int object = lua_gettop(L);
  if (cancelled) {
    add_cancel_fields(L, handle, object);
  } else {
    lua_pushliteral(L, "not enough memory");
    lua_setiuservalue(L, object, error_object::value);
  }
  lua_pushvalue(L, handle);
  lua_setiuservalue(L, object, error_object::handle);
  lua_pushvalue(L, object);
  lua_setiuservalue(L, handle, 1);
  if (task.kind == result_kind::out_of_memory) task.host->memory_failure_seen(static_cast<std::uint64_t>(task.scalar.integer));
  task.kind = result_kind::error;
}

}  // namespace

int lua_task::push_outcome(lua_State* L, int handle) {
  mark(trait::observed);
  if (status != task_state::returned) {
    lua_pushboolean(L, 0);
    if (kind == result_kind::error) {
      lua_getiuservalue(L, handle, 1);
      object_at<error_object>(L, -1).observe();
    } else {
      push_late_error(L, *this, handle);
    }
    return 2;
  }
  lua_pushboolean(L, 1);
  switch (kind) {
    case result_kind::none:
      return 1;
    case result_kind::nil:
      lua_pushnil(L);
      return 2;
    case result_kind::boolean:
      lua_pushboolean(L, scalar.boolean);
      return 2;
    case result_kind::integer:
      lua_pushinteger(L, scalar.integer);
      return 2;
    case result_kind::number:
      lua_pushnumber(L, scalar.number);
      return 2;
    case result_kind::packed:
      return 1 + push_packed(L, handle);
    default:
      lua_getiuservalue(L, handle, 1);
      return 2;
  }
}

}  // namespace perilune
