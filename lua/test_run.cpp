// perilune.native.test: what the test kit asks of the program that runs it. See test_run.hpp.
#include "test_run.hpp"

#include <algorithm>
#include <utility>

#include <perilune/virtual_time.hpp>

#include "library.hpp"
#include "object.hpp"
#include "scratch.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

test_run& run_of(lua_State* L) noexcept { return *static_cast<test_run*>(lua_touserdata(L, lua_upvalueindex(1))); }

// Pushes the texts behind the first so many, which is argument 1, as a list, and takes them away.
reply take_texts(lua_State* L, std::vector<std::string>& texts) {
  const std::size_t kept = std::min(texts.size(), static_cast<std::size_t>(lua_tointeger(L, 1)));
  lua_createtable(L, static_cast<int>(texts.size() - kept), 0);
  for (std::size_t i = kept; i < texts.size(); ++i) {
    lua_pushlstring(L, texts[i].data(), texts[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i - kept) + 1);
  }
  texts.resize(kept);
  return 1;
}

// take_reports([kept]), take_stalls([kept]) -> list of texts, all but so many that came first.
reply take_reports_body(lua_State* L, vm&) { return take_texts(L, run_of(L).reports); }
reply take_stalls_body(lua_State* L, vm&) { return take_texts(L, run_of(L).stalls); }

// reports() -> how many there are.
reply reports_body(lua_State* L, vm&) {
  lua_pushinteger(L, static_cast<lua_Integer>(run_of(L).reports.size()));
  return 1;
}

// add_result(text)
reply add_result_body(lua_State* L, vm&) {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, 1, &size);
  run_of(L).results.emplace_back(text, size);
  return 0;
}

// limit(task, seconds, real_seconds)
reply limit_body(lua_State* L, vm&) {
  test_run& run = run_of(L);
  const instant end = saturating_add(run.time.now(), from_seconds(lua_tonumber(L, 2)));
  run.watch.limit(object_at<lua_task>(L, 1), end, from_seconds(lua_tonumber(L, 3)));
  return 0;
}

// cancel_at(task, n)
reply cancel_at_body(lua_State* L, vm&) {
  run_of(L).watch.cancel_at(object_at<lua_task>(L, 1), static_cast<std::uint64_t>(lua_tointeger(L, 2)));
  return 0;
}

// cancelled_at() -> where, or nil when that was not reached.
reply cancelled_at_body(lua_State* L, vm&) {
  const std::string& point = run_of(L).watch.cancelled_at();
  if (point.empty()) return 0;
  lua_pushlstring(L, point.data(), point.size());
  return 1;
}

// now_ns() -> nanoseconds of the clock, so that differences are exact.
reply now_ns_body(lua_State* L, vm&) {
  lua_pushinteger(L, run_of(L).time.now().count());
  return 1;
}

detail::quiet_operation quiet;

// advance(seconds): time walks on by as much, and then until every other task is blocked. Infinity: until no timer is left.
reply advance_body(lua_State* L, vm& v) {
  lua_task& task = v.running();
  if (task.cancel_pending()) return action::raise_cancel;
  if (!protect::suspendable(L, task)) return action::raise_unsuspendable;
  const instant end = saturating_add(run_of(L).time.now(), from_seconds(lua_tonumber(L, 1)));
  task.deadline = static_cast<std::uint64_t>(end.count());
  return wait_for(L, v, quiet, [](lua_State*, vm&) -> reply { return 0; });
}

// seed(n): of every random choice of the runtime from now on.
reply seed_body(lua_State* L, vm& v) {
  v.tasks().seed(static_cast<std::uint64_t>(lua_tointeger(L, 1)));
  return 0;
}

// shuffle(flag): whether ready tasks run in an order drawn from the seed.
reply shuffle_body(lua_State* L, vm& v) {
  v.tasks().shuffle(lua_toboolean(L, 1) != 0);
  return 0;
}

// start_trace(): of all but the running task.
reply start_trace_body(lua_State* L, vm& v) {
  run_of(L).watch.start_trace(&v.running());
  return 0;
}

// take_trace() -> text
reply take_trace_body(lua_State* L, vm& v) {
  v.message = run_of(L).watch.take_trace();
  return push_scratch(L, v);
}

// Cancels the tasks below the node whose id is no key of the table at 1.
void cancel_others_below(lua_State* L, cancel_node& node, const reason_ptr& reason) {
  for_each_child(node, [&](task_header& task) {
    const bool kept = lua_rawgeti(L, 1, static_cast<lua_Integer>(task.id)) != LUA_TNIL;
    lua_pop(L, 1);
    kept ? cancel_others_below(L, task, reason) : cancel(task, reason);
  });
}

// cancel_others(kept): cancels every task whose id is no key of the table.
reply cancel_others_body(lua_State* L, vm& v) {
  const auto reason = reason_ptr::make(cancel_source::cancel, "left behind by a test", 0, "test");
  cancel_others_below(L, v.tasks().roots, reason);
  cancel_others_below(L, v.tasks().detached, reason);
  return 0;
}

constexpr library_function functions[] = {
    {"take_reports", protect::native<take_reports_body>},
    {"take_stalls", protect::native<take_stalls_body>},
    {"add_result", protect::native<add_result_body>},
    {"limit", protect::native<limit_body>},
    {"cancel_at", protect::native<cancel_at_body>},
    {"cancelled_at", protect::native<cancelled_at_body>},
    {"seed", protect::native<seed_body>},
    {"start_trace", protect::native<start_trace_body>},
    {"take_trace", protect::native<take_trace_body>},
    {"cancel_others", protect::native<cancel_others_body>},
    {"advance", protect::native<advance_body>},
    {"now_ns", protect::native<now_ns_body>},
    {"reports", protect::native<reports_body>},
    {"shuffle", protect::native<shuffle_body>},
};

int publish_functions(lua_State* L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_newtable(L);
  for (const auto& [name, function] : functions) {
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
  }
  lua_setfield(L, -2, "perilune.native.test");
  return 0;
}

}  // namespace

lua_host_options test_run::options(std::uint64_t seed, bool shuffle) {
  lua_host_options result;
  result.runtime.time = &time;
  result.runtime.seed = seed;
  result.runtime.shuffle = shuffle;
  result.runtime.observed_by = &watch;
  result.runtime.on_stall = [this](const std::string& text) { stalls.push_back(text); };
  result.runtime.on_overstay = [this](const task_header& task) {
    reports.push_back("overstay: task " + std::to_string(task.id) + " at " + task.where() +
                      " did not end within its grace; killed");
  };
  result.report = [this](const std::string& text) { reports.push_back(text); };
  return result;
}

std::string test_run::publish(lua_host& scripts) {
  std::string problem;
  protect::call_outside(scripts.machine().main(), publish_functions, this, &problem);
  return problem;
}

}  // namespace perilune
