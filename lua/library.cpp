// Opening the libraries of a VM. See library.hpp.
#include "library.hpp"

#include <algorithm>

#include "confine.hpp"
#include "error_object.hpp"
#include "region.hpp"

namespace perilune {

namespace {

// The types that are made late, and what makes them: all of a line at once.
constexpr struct {
  type_name first;
  type_name last;
  void (*define)(lua_State*);
} late_types[] = {
    {type_name::task, type_name::task, define_task},
    {type_name::scope, type_name::scope, define_scope},
    {type_name::join_set, type_name::join_set, define_join_set},
    {type_name::channel, type_name::channel, define_channels},
    {type_name::oneshot, type_name::oneshot, define_oneshot},
    {type_name::watch, type_name::watch_receiver, define_watch},
    {type_name::broadcast, type_name::broadcast_receiver, define_broadcast},
    {type_name::operation, type_name::operation, define_operation},
    {type_name::token, type_name::token_guard, define_tokens},
    {type_name::deferred, type_name::deferred, define_deferred},
    {type_name::interval, type_name::interval, define_interval},
    {type_name::guard, type_name::permit, define_guards},
    {type_name::mutex, type_name::once, define_locks},
    {type_name::semaphore, type_name::wait_group, define_sync},
    {type_name::remote, type_name::remote, define_remote},
    {type_name::isolate, type_name::isolate, define_isolate},
    {type_name::shared_channel, type_name::held_parcel, define_shared_channel},
    {type_name::blocking_place, type_name::blocking_place, define_blocking_place},
    {type_name::shared_value, type_name::shared_value, define_shared_value},
    {type_name::buffer, type_name::buffer, define_buffer},
    {type_name::far_task, type_name::far_waiting, define_far_task},
};

}  // namespace

void push_late_type(lua_State* L, type_name name) {
  constexpr int room = 8;
  const auto makes = [name](const auto& each) { return each.first <= name && name <= each.last; };
  const auto* const type = std::find_if(std::begin(late_types), std::end(late_types), makes);
  if (type == std::end(late_types)) return;
  protect::need_stack(L, room);
  lua_pop(L, 1);
  type->define(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, registry_key(name));
}

bool has_type(lua_State* L, type_name name) {
  const bool has = lua_rawgeti(L, LUA_REGISTRYINDEX, registry_key(name)) == LUA_TTABLE;
  lua_pop(L, 1);
  return has;
}

void keep_type(lua_State* L, type_name name) { lua_rawseti(L, LUA_REGISTRYINDEX, registry_key(name)); }

void push_metatable(lua_State* L, const char* shown, std::span<const library_function> methods,
                    std::span<const library_function> metamethods, lua_CFunction index) {
  constexpr int common = 3;
  lua_createtable(L, 0, common + static_cast<int>(metamethods.size()));
  set_functions(L, metamethods);
  if (!methods.empty()) {
    lua_createtable(L, 0, static_cast<int>(methods.size()));
    set_functions(L, methods);
    if (index) lua_pushcclosure(L, index, 1);
    lua_setfield(L, -2, "__index");
  }
  lua_pushstring(L, shown);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__name");
  lua_setfield(L, -2, "__metatable");
}

void define_type(lua_State* L, type_name name, const char* shown, std::span<const library_function> methods,
                 std::span<const library_function> metamethods, lua_CFunction index) {
  if (has_type(L, name)) return;
  push_metatable(L, shown, methods, metamethods, index);
  keep_type(L, name);
}

void push_weak_table(lua_State* L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

lua_Integer read_count(lua_State* L, int index, lua_Integer most) {
  int whole = 0;
  const lua_Integer count = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  return whole && count <= most ? count : -1;
}

bool push_method(lua_State* L, std::string_view& name) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return true;
  std::size_t size = 0;
  const char* text = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &size) : "";
  name = {text, size};
  return false;
}

int open_library(lua_State* L) {
  const bool trusted = vm_of(L).trusted();
  trusted ? luaL_openlibs(L) : open_confined_libraries(L);
  error_object::open(L);
  region::open(L);
  constexpr int functions = 96;
  lua_createtable(L, 0, functions);
  open_base(L);
  if (trusted) open_execute(L);
  open_spawning(L);
  open_tasks(L);
  open_coroutines(L);
  open_time(L);
  open_intervals(L);
  open_cancellation(L);
  open_scopes(L);
  open_join_sets(L);
  open_channels(L);
  open_oneshots(L);
  open_watches(L);
  open_broadcasts(L);
  open_locks(L);
  open_sync(L);
  open_operations(L);
  open_inspection(L);
  open_remotes(L);
  open_shared_channels(L);
  open_shared_values(L);
  open_buffers(L);
  open_isolates(L);
  open_modules(L);
  vm::set_registry(L, registry_slot::modules);
  if (vm_of(L).options().deterministic) make_deterministic(L);
  if (vm_of(L).options().rules.each_run.output != run_limits::none) count_written(L);
  if (!trusted) confine(L);
  return 0;
}

}  // namespace perilune
