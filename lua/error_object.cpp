// Making, reading and printing error objects. See error_object.hpp.
#include "error_object.hpp"

#include <cstring>
#include <new>
#include <utility>

#include "library.hpp"
#include "lua_task.hpp"
#include "object.hpp"
#include "traceback.hpp"
#include "type_names.hpp"

namespace perilune {

void error_object::watch(lua_State* L, int index) {
  index = lua_absindex(L, index);
  auto& e = object_at<error_object>(L, index);
  if (e.unobserved) return;
  // Collected unseen, it must be told and leave the list.
  push_type(L, type_name::failure);
  lua_setmetatable(L, index);
  vm::push_registry(L, registry_slot::failures);
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, &e);
  lua_pop(L, 1);
  auto& others = e.host->unobserved_failures;
  try {
    e.place = others.insert(others.end(), {&e});
    e.unobserved = true;
  } catch (const std::bad_alloc&) {
    e.host->note_memory_failure();
  }
}

void error_object::observe() noexcept {
  if (std::exchange(unobserved, false)) host->unobserved_failures.erase(place);
}

error_object& error_object::push_new(lua_State* L, vm& v, error_kind kind, bool reported) {
  auto& made = push_object<error_object>(L, reported ? type_name::failure : type_name::error, user_values, v, kind);
  if (reported) watch(L, -1);
  return made;
}

namespace {

// Gives an object that shares its table of fields a copy of its own.
void own_fields(lua_State* L, int index) {
  lua_newtable(L);
  const int copy = lua_gettop(L);
  if (lua_getiuservalue(L, index, error_object::fields) == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, copy + 1);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, copy);
    }
  lua_settop(L, copy);
  lua_setiuservalue(L, index, error_object::fields);
  object_at<error_object>(L, index).shares_fields = false;
}

}  // namespace

void error_object::set_field(lua_State* L, int index, const char* name) {
  index = lua_absindex(L, index);
  if (object_at<error_object>(L, index).shares_fields) own_fields(L, index);
  if (lua_getiuservalue(L, index, fields) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, index, fields);
  }
  lua_insert(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

void error_object::push_field(lua_State* L, int index, const char* name) {
  if (lua_getiuservalue(L, index, fields) == LUA_TTABLE)
    lua_getfield(L, -1, name);
  else
    lua_pushnil(L);
  lua_remove(L, -2);
}

void error_object::push_engine_error(lua_State* L, vm& v, const error& problem) {
  // `problem` is scratch that a finalizer may overwrite: it is read before anything else can run.
  const error_kind kind = problem.kind;
  const int code = problem.code;
  const bool thrown = problem.exception != nullptr;
  lua_pushlstring(L, problem.message.data(), problem.message.size());
  push_new(L, v, kind, false);
  if (thrown) {
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, value);
  }
  lua_insert(L, -2);
  set_field(L, -2, "message");
  if (code) {
    lua_pushstring(L, error::code_name(code));
    set_field(L, -2, "code");
    lua_pushinteger(L, code);
    set_field(L, -2, "errno");
  }
  push_script_traceback(L, nullptr, 1);
  set_field(L, -2, "traceback");
}

void error_object::push_cancellation(lua_State* L, vm& v, const reason_ptr& why) {
  vm::push_registry(L, registry_slot::last_cancel);
  if (error_object* last = to_object<error_object>(L, -1); last && last->reason == why.get()) return;
  lua_pop(L, 1);
  error_object& made = push_new(L, v, error_kind::cancelled, false);
  made.is_cancellation = true;
  made.reason = why.get();
  if (why) {
    if (!why->text.empty()) {
      lua_pushlstring(L, why->text.data(), why->text.size());
      set_field(L, -2, "reason");
    }
    lua_createtable(L, 0, 3);
    lua_pushstring(L, to_string(why->source));
    lua_setfield(L, -2, "kind");
    if (why->by_task) {
      lua_pushinteger(L, static_cast<lua_Integer>(why->by_task));
      lua_setfield(L, -2, "id");
    }
    if (!why->by_name.empty()) {
      lua_pushlstring(L, why->by_name.data(), why->by_name.size());
      lua_setfield(L, -2, "name");
    }
    set_field(L, -2, "by");
  }
  lua_pushvalue(L, -1);
  vm::set_registry(L, registry_slot::last_cancel);
  v.object_reason = why;
}

namespace {

// Pushes what the error says, without naming the task.
void push_message(lua_State* L, int index) {
  index = lua_absindex(L, index);
  const error_object& e = object_at<error_object>(L, index);
  error_object::push_field(L, index, "message");
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  if (e.kind == error_kind::cancelled) {
    error_object::push_field(L, index, "reason");
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushliteral(L, "cancelled");
    } else {
      lua_pushfstring(L, "cancelled: %s", lua_tostring(L, -1));
      lua_replace(L, -2);
    }
    return;
  }
  lua_getiuservalue(L, index, error_object::value);
  error_object::push_brief(L, -1);
  lua_replace(L, -2);
}

// Pushes {id=, name=} of the failed task, or nil. One of another VM is a field.
void push_task(lua_State* L, int index) {
  lua_getiuservalue(L, index, error_object::handle);
  const lua_task* task = to_object<lua_task>(L, -1);
  if (!task) {
    lua_pop(L, 1);
    return error_object::push_field(L, index, "task");
  }
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, static_cast<lua_Integer>(task->id));
  lua_setfield(L, -2, "id");
  if (task->has_extras) {
    lua_task::push_extras(L, lua_absindex(L, -2));
    lua_getfield(L, -1, "name");
    lua_setfield(L, -3, "name");
    lua_pop(L, 1);
  }
  lua_remove(L, -2);
}

void push_spawned_at(lua_State* L, int index) {
  lua_getiuservalue(L, index, error_object::handle);
  if (to_object<lua_task>(L, -1))
    lua_task::push_spawn_site(L, lua_absindex(L, -1));
  else
    lua_pushnil(L);
  lua_remove(L, -2);
}

int index_error(lua_State* L) {
  const error_object* e = to_object<error_object>(L, 1);
  if (!e || lua_type(L, 2) != LUA_TSTRING) return 0;
  const char* key = lua_tostring(L, 2);
  if (!std::strcmp(key, "kind"))
    lua_pushstring(L, to_string(e->kind));
  else if (!std::strcmp(key, "value"))
    lua_getiuservalue(L, 1, error_object::value);
  else if (!std::strcmp(key, "message"))
    push_message(L, 1);
  else if (!std::strcmp(key, "task"))
    push_task(L, 1);
  else if (!std::strcmp(key, "spawned_at"))
    push_spawned_at(L, 1);
  else if (!std::strcmp(key, "during_cancel"))
    lua_pushboolean(L, e->during_cancel);
  else
    error_object::push_field(L, 1, key);
  return 1;
}

int print_error(lua_State* L) {
  if (to_object<error_object>(L, 1))
    error_object::push_text(L, 1);
  else
    lua_pushliteral(L, "perilune.error");
  return 1;
}

int collect_error(lua_State* L) {
  error_object* e = to_object<error_object>(L, 1);
  if (!e || !e->unobserved) return 0;
  e->host->report_failure(L, 1);
  return 0;
}

void make_type(lua_State* L, type_name name, bool finalized) {
  lua_createtable(L, 0, 4);
  lua_pushcfunction(L, index_error);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, print_error);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "perilune.error");
  lua_setfield(L, -2, "__metatable");
  if (finalized) {
    lua_pushcfunction(L, collect_error);
    lua_setfield(L, -2, "__gc");
  }
  keep_type(L, name);
}

}  // namespace

void error_object::open(lua_State* L) {
  make_type(L, type_name::error, false);
  make_type(L, type_name::failure, true);
  push_new(L, vm_of(L), error_kind::cancelled, false).is_close_request = true;
  lua_pushliteral(L, "coroutine.close");
  set_field(L, -2, "reason");
  vm::set_registry(L, registry_slot::close_request);
}

void error_object::push_brief(lua_State* L, int index) {
  if (to_object<error_object>(L, index)) return push_text(L, index);
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      return lua_pushvalue(L, index);
    case LUA_TNUMBER:
      lua_pushvalue(L, index);
      lua_tostring(L, -1);
      return;
    case LUA_TNIL:
      lua_pushliteral(L, "(nil)");
      return;
    default:
      lua_pushfstring(L, "(a %s value)", luaL_typename(L, index));
  }
}

void error_object::push_text(lua_State* L, int index) {
  index = lua_absindex(L, index);
  const int base = lua_gettop(L);
  const error_object& e = object_at<error_object>(L, index);
  push_message(L, index);
  const char* message = lua_tostring(L, -1);
  lua_getiuservalue(L, index, handle);
  const lua_task* task = to_object<lua_task>(L, -1);
  if (!task) {
    lua_pushfstring(L, "%s", message);
  } else {
    const char* verb = e.kind == error_kind::cancelled ? "was cancelled" : "failed";
    const char* name = nullptr;
    if (task->has_extras) {
      lua_task::push_extras(L, lua_absindex(L, -1));
      lua_getfield(L, -1, "name");
      name = lua_tostring(L, -1);
    }
    const auto id = static_cast<lua_Integer>(task->id);
    if (e.kind == error_kind::cancelled && !std::strcmp(message, "cancelled"))
      name ? lua_pushfstring(L, "task %I (%s) %s", id, name, verb) : lua_pushfstring(L, "task %I %s", id, verb);
    else if (e.kind == error_kind::cancelled)
      name ? lua_pushfstring(L, "task %I (%s) was %s", id, name, message)
           : lua_pushfstring(L, "task %I was %s", id, message);
    else
      name ? lua_pushfstring(L, "task %I (%s) %s: %s", id, name, verb, message)
           : lua_pushfstring(L, "task %I %s: %s", id, verb, message);
  }
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}

namespace {

// Appends the string on top to the text at `text` (popped).
void append(lua_State* L, int text) {
  lua_pushvalue(L, text);
  lua_insert(L, -2);
  lua_concat(L, 2);
  lua_replace(L, text);
}

void append_list(lua_State* L, int text, int index, const char* field, const char* label) {
  error_object::push_field(L, index, field);
  const int list = lua_gettop(L);
  if (lua_type(L, list) == LUA_TTABLE) {
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; ++i) {
      error_object::push_brief(L, -1);
      lua_pushfstring(L, "\n  %s: %s", label, lua_tostring(L, -1));
      append(L, text);
      lua_settop(L, list);
    }
  }
  lua_settop(L, list - 1);
}

}  // namespace

void error_object::push_report(lua_State* L, int index) {
  index = lua_absindex(L, index);
  push_text(L, index);
  const int text = lua_gettop(L);
  append_list(L, text, index, "errors", "error");
  append_list(L, text, index, "suppressed", "suppressed");
  push_spawned_at(L, index);
  if (lua_isstring(L, -1)) {
    lua_pushfstring(L, "\n  spawned at %s", lua_tostring(L, -1));
    append(L, text);
  }
  push_field(L, index, "traceback");
  if (lua_isstring(L, -1)) {
    lua_pushfstring(L, "\n%s", lua_tostring(L, -1));
    append(L, text);
  }
  lua_settop(L, text);
}

}  // namespace perilune
