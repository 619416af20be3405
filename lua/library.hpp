// Building the tables scripts see: functions by name, types with methods. Used while a VM opens.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include <lua.hpp>

#include "protect.hpp"
#include "type_names.hpp"

namespace perilune {

class isolate;
class permit_wait;

struct library_function {
  const char* name;
  lua_CFunction function;
};

// Sets the functions in the table on top.
inline void set_functions(lua_State* L, std::span<const library_function> functions) {
  for (const auto& [name, function] : functions) {
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
  }
}

// Pushes a table that does not keep its values.
void push_weak_table(lua_State* L);

// Whether a type has its metatable.
bool has_type(lua_State* L, type_name name);
// Makes the table on top a type's metatable (popped).
void keep_type(lua_State* L, type_name name);

// Pushes a metatable: `methods` become __index, `metamethods` are set as they are; __name and a protecting __metatable are
// added. Where there are fields besides the methods, `index` gets the table of methods as its upvalue.
void push_metatable(lua_State* L, const char* shown, std::span<const library_function> methods,
                    std::span<const library_function> metamethods, lua_CFunction index = nullptr);
// Makes a type's metatable, if there is none yet; never half of it.
void define_type(lua_State* L, type_name name, const char* shown, std::span<const library_function> methods,
                 std::span<const library_function> metamethods, lua_CFunction index = nullptr);

// In such an `index`: whether a method is asked for, which is then on top; else nil is, and `name` is what is asked for, "" when
// that is no text.
bool push_method(lua_State* L, std::string_view& name);

// A body that calls `Body` with the object that an iterator was made for.
template <native_body Body>
reply iterator_step(lua_State* L, vm& v) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  return Body(L, v);
}

// Pushes an iterator over what the method `Body` of the object at index 1 returns, call by call.
template <native_body Body>
reply push_iterator(lua_State* L) {
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, protect::native<iterator_step<Body>>, 1);
  return 1;
}

// Set a field of the table on top.
inline void set_count(lua_State* L, const char* name, std::uint64_t value) {
  lua_pushinteger(L, static_cast<lua_Integer>(value));
  lua_setfield(L, -2, name);
}
inline void set_flag(lua_State* L, const char* name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

// The whole number at `index`, 2 for 2.0; negative when there is none from 0 to `most`.
lua_Integer read_count(lua_State* L, int index, lua_Integer most = LUA_MAXINTEGER);

inline constexpr lua_Integer largest_capacity = 1 << 30;

// The parts of the perilune table; each adds its functions to the table on top.
void open_base(lua_State* L);
void open_execute(lua_State* L);
void open_spawning(lua_State* L);
void open_tasks(lua_State* L);
void open_coroutines(lua_State* L);
void open_time(lua_State* L);
void open_intervals(lua_State* L);
void open_cancellation(lua_State* L);
void open_scopes(lua_State* L);
void open_join_sets(lua_State* L);
void open_channels(lua_State* L);
void open_oneshots(lua_State* L);
void open_watches(lua_State* L);
void open_broadcasts(lua_State* L);
void open_locks(lua_State* L);
void open_sync(lua_State* L);
void open_operations(lua_State* L);
void open_inspection(lua_State* L);
void open_remotes(lua_State* L);
void open_shared_channels(lua_State* L);
void open_shared_values(lua_State* L);
void open_buffers(lua_State* L);
void open_isolates(lua_State* L);
void open_modules(lua_State* L);

// Pushes a function of perilune.loader, which is loaded for that: require, confined_require, index or reload. May raise.
void push_loader(lua_State* L, const char* function);
// Pushes a require that loads the loader when it is first called.
void push_require(lua_State* L, bool confined);

// The types of those parts, defined when the first object of one is made.
void define_task(lua_State* L);
void define_scope(lua_State* L);
void define_join_set(lua_State* L);
void define_channels(lua_State* L);
void define_oneshot(lua_State* L);
void define_watch(lua_State* L);
void define_broadcast(lua_State* L);
void define_operation(lua_State* L);
void define_tokens(lua_State* L);
void define_deferred(lua_State* L);
void define_interval(lua_State* L);
void define_guards(lua_State* L);
void define_locks(lua_State* L);
void define_sync(lua_State* L);
void define_remote(lua_State* L);
void define_isolate(lua_State* L);
void define_blocking_place(lua_State* L);
void define_shared_channel(lua_State* L);
void define_shared_value(lua_State* L);
void define_buffer(lua_State* L);
void define_far_task(lua_State* L);

// pairs in the order of keys, and math.random from the runtime's seed. May raise.
void make_deterministic(lua_State* L);

// Opens everything: the globals in our form and the perilune table, left in registry_slot::modules.
int open_library(lua_State* L);

// Whether the value at `index` can be called.
bool is_callable(lua_State* L, int index);

// The reason of a cancellation that the running task asks for.
reason_ptr asked_by_running_task(vm& v, std::string text);

// What peri.spawn and s:spawn were given from argument `first` on: options if there are any, the function, its arguments.
struct spawn_request {
  const char* call = "spawn";  // what messages call it
  bool takes_worker = false;   // the options may name a worker
  spawn_options options;
  int function = 0;                              // where the function stands; its arguments follow
  lua_Integer worker = 0;                        // the one named, from 1; 0 for none
  const std::shared_ptr<isolate>* in = nullptr;  // where vm:run runs it
  permit_wait* place = nullptr;                  // granted, for a call on the blocking pool
  int kept = 0;                                  // where a table with name, labels or local_data stands, or 0
};
// A reply < 0 refuses.
reply read_spawn_arguments(lua_State* L, vm& v, int first, spawn_request& request);
// A reply < 0 refuses one more task.
reply check_room(vm& v);

// Spawns the function below its `arguments` on top of the stack; pushes the handle on top of them. Raises when memory is
// out, before anything is queued. `option_table` is the stack index of a table with name, labels and local_data, or 0.
lua_task& spawn_function(lua_State* L, vm& v, int arguments, const spawn_options& options, int option_table = 0);

}  // namespace perilune
