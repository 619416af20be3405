// perilune.native.trace: what perilune.trace is made of. One recording at a time in a VM, of the tasks of its worker.
#include <memory>

#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "scratch.hpp"
#include "trace_recorder.hpp"

namespace perilune {

namespace {

// The upvalue of every function of the module.
struct recording {
  static constexpr std::uint64_t tag = 0x72656364'4a61c05fULL;
  std::unique_ptr<trace_recorder> on;
};

std::unique_ptr<trace_recorder>& recording_of(lua_State* L) noexcept {
  return object_at<recording>(L, lua_upvalueindex(1)).on;
}

// start(most) -> whether it has begun: false when there is a recording already.
reply start_body(lua_State* L, vm& v) {
  if (!v.has_worker()) return raise_text(v, "nothing can be traced inside peri.blocking: there are no tasks");
  auto& on = recording_of(L);
  const bool begins = on == nullptr;
  if (begins)
    on = std::make_unique<trace_recorder>(v.host_runtime(), v.tasks(), static_cast<std::size_t>(lua_tointeger(L, 1)));
  lua_pushboolean(L, begins);
  return 1;
}

// stop() -> the text
reply stop_body(lua_State* L, vm& v) {
  auto& on = recording_of(L);
  if (!on) return 0;
  v.message = on->text();
  on.reset();
  return push_scratch(L, v);
}

// span(name, id, seconds, status)
reply span_body(lua_State* L, vm& v) {
  if (const auto& on = recording_of(L))
    on->span_ended(v.running(), lua_tostring(L, 1), lua_tointeger(L, 2), lua_tonumber(L, 3), lua_tostring(L, 4));
  return 0;
}

int collect_recording(lua_State* L) {
  object_at<recording>(L, 1).~recording();
  return 0;
}

}  // namespace

int open_trace(lua_State* L) {
  constexpr library_function functions[] = {{"start", protect::native<start_body>},
                                            {"stop", protect::native<stop_body>},
                                            {"span", protect::native<span_body>}};
  lua_createtable(L, 0, 3);
  push_object<recording>(L, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, collect_recording);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  for (const auto& [name, function] : functions) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
  return 1;
}

}  // namespace perilune
