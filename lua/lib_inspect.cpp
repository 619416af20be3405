// peri.tasks and peri.dump: what every task is doing. See lua-api: Looking inside.
#include <cstdio>
#include <string>

#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

double age_in_seconds(const vm& v, std::uint32_t since_ms) noexcept { return (v.tasks().now_ms() - since_ms) / 1000.0; }

// What a waiting task waits for.
wait_description waiting_on(const task_header& task) noexcept {
  if (task.selecting) return {"select", "operations", task.selecting};
  if (task.is(task_header::trait::uninterruptible) || !task.op) return {"children", "scope", nullptr};
  return task.op->describe();
}

void push_waiting_on(lua_State* L, const vm& v, const task_header& task) {
  const wait_description wait = waiting_on(task);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, wait.verb);
  lua_setfield(L, -2, "op");
  lua_pushstring(L, wait.resource);
  lua_setfield(L, -2, "resource");
  lua_pushnumber(L, age_in_seconds(v, task.stamp));
  lua_setfield(L, -2, "since");
}

// Sets what only a Lua task has: how often it ran, its names, where it was spawned and where it stands.
void set_script_fields(lua_State* L, vm& v, lua_task& task) {
  const int record = lua_gettop(L);
  lua_pushinteger(L, task.resumes);
  lua_setfield(L, record, "busy");
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
  char line[96];
  task.write_where(line, sizeof line);
  if (!*line) return;
  lua_pushstring(L, line);
  lua_setfield(L, record, "line");
}

void push_record(lua_State* L, vm& v, task_header& task) {
  lua_createtable(L, 0, 10);
  lua_pushinteger(L, static_cast<lua_Integer>(task.id));
  lua_setfield(L, -2, "id");
  lua_pushstring(L, to_string(task.shown_state()));
  lua_setfield(L, -2, "state");
  lua_pushnumber(L, age_in_seconds(v, task.spawned_ms));
  lua_setfield(L, -2, "age");
  if (const task_header* parent = task.parent_task()) {
    lua_pushinteger(L, static_cast<lua_Integer>(parent->id));
    lua_setfield(L, -2, "parent");
  }
  if (task.status == task_state::waiting) {
    push_waiting_on(L, v, task);
    lua_setfield(L, -2, "waiting_on");
  }
  if (lua_task* script = to_lua_task(task)) return set_script_fields(L, v, *script);
  lua_pushstring(L, task.name);
  lua_setfield(L, -2, "name");
}

void append_tree(lua_State* L, vm& v, cancel_node& node, int list) {
  for_each_child(node, [&](task_header& task) {
    push_record(L, v, task);
    lua_rawseti(L, list, static_cast<lua_Integer>(lua_rawlen(L, list)) + 1);
    luaL_checkstack(L, 8, "too deep a tree of tasks");
    append_tree(L, v, task, list);
  });
}

reply tasks_body(lua_State* L, vm& v) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  append_tree(L, v, v.tasks().roots, list);
  append_tree(L, v, v.tasks().detached, list);
  return 1;
}

std::string indent(int depth) { return std::string(static_cast<std::size_t>(depth) * 2, ' '); }

void write_task(std::string& out, const vm& v, const task_header& task, int depth) {
  char number[64];
  out += indent(depth) + "task " + std::to_string(task.id);
  if (task.name) out += std::string(" (") + task.name + ")";
  out += std::string(" ") + to_string(task.shown_state());
  if (task.status == task_state::waiting) {
    const wait_description wait = waiting_on(task);
    std::snprintf(number, sizeof number, " for %.3f s", age_in_seconds(v, task.stamp));
    out += std::string(" in ") + wait.verb + " on a " + wait.resource + number;
  }
  const std::string place = task.where();
  if (!place.empty()) out += " at " + place;
  std::snprintf(number, sizeof number, ", age %.3f s\n", age_in_seconds(v, task.spawned_ms));
  out += number;
}

void write_tree(std::string& out, const vm& v, cancel_node& node, int depth) {
  for_each_child(node, [&](task_header& task) {
    write_task(out, v, task, depth);
    write_tree(out, v, task, depth + 1);
  });
}

reply dump_text(lua_State* L, vm& v) {
  lua_pushlstring(L, v.message.data(), v.message.size());
  return 1;
}

void write_dump(vm& v) {
  std::string out = "tasks: " + std::to_string(v.tasks().live_tasks()) + " live, " + std::to_string(v.tasks().resumes()) +
                    " resumes\n";
  write_tree(out, v, v.tasks().roots, 1);
  write_tree(out, v, v.tasks().detached, 1);
  v.message = std::move(out);
}

reply dump_body(lua_State* L, vm& v) {
  write_dump(v);
  return dump_text(L, v);
}

}  // namespace

void open_inspection(lua_State* L) {
  constexpr library_function functions[] = {
      {"tasks", protect::native<tasks_body>},
      {"dump", protect::native<dump_body>},
  };
  set_functions(L, functions);
}

}  // namespace perilune
