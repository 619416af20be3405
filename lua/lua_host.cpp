// Loading and running scripts. See lua_host.hpp.
#include "lua_host.hpp"

#include <algorithm>
#include <utility>

#include "error_object.hpp"
#include "library.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "vm_world.hpp"

namespace perilune {

struct lua_host::parts {
  explicit parts(const lua_host_options& o)
      : world(o.runtime, vm_options{.allocate = o.allocate,
                                    .allocate_data = o.allocate_data,
                                    .report = o.report,
                                    .log = o.log,
                                    .load_module = o.load_module,
                                    .manual_gc = o.manual_gc,
                                    .deterministic = o.deterministic,
                                    .preempt = o.preempt,
                                    .rules = {.limits = o.limits}}),
        invalid(world.problem()) {}
  vm_world world;
  const std::string invalid;
  lua_task* main = nullptr;  // of the script that runs, until its end was read
};

namespace {

struct loading {
  const main_script* what;
  std::string_view source;
  lua_task* task = nullptr;
};

void set_arg(lua_State* L, lua_Integer index, const std::string& word) {
  lua_pushlstring(L, word.data(), word.size());
  lua_rawseti(L, -2, index);
}

void set_arg_table(lua_State* L, const main_script& what) {
  lua_createtable(L, static_cast<int>(what.arguments.size()), static_cast<int>(what.command.size()) + 1);
  set_arg(L, 0, what.program);
  for (std::size_t i = 0; i < what.arguments.size(); ++i)
    set_arg(L, static_cast<lua_Integer>(i) + 1, what.arguments[i]);
  for (std::size_t i = 0; i < what.command.size(); ++i) set_arg(L, -static_cast<lua_Integer>(i) - 1, what.command[i]);
  lua_setglobal(L, "arg");
}

}  // namespace

void search_first(lua_State* L, const std::string& folder) {
  if (folder.empty() || folder.find_first_of("?;") != std::string::npos) return;
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", folder.c_str(), folder.c_str(), lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
  lua_pop(L, 2);
}

namespace {

// Loads the chunk and queues it as the main task; its handle stays on the main stack.
int load_and_spawn(lua_State* L) {
  auto& load = *static_cast<loading*>(lua_touserdata(L, 1));
  vm& v = vm_of(L);
  const main_script& what = *load.what;
  set_arg_table(L, what);
  search_first(L, what.folder);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "main");
  lua_setfield(L, -2, "name");
  const int options = lua_gettop(L);
  if (luaL_loadbufferx(L, load.source.data(), load.source.size(), what.name.c_str(), "t") != LUA_OK)
    return protect::conclude(L, v, action::raise_top);
  protect::need_stack(L, static_cast<int>(what.arguments.size()) + 8, "too many arguments");
  for (const std::string& argument : what.arguments) lua_pushlstring(L, argument.data(), argument.size());
  load.task = &spawn_function(L, v, static_cast<int>(what.arguments.size()), {}, options);
  vm::set_registry(L, registry_slot::main_task);
  return 0;
}

// Reads how the main task ended into vm::message and vm::problem, which own what Lua may drop.
int read_end(lua_State* L) {
  vm& v = vm_of(L);
  vm::push_registry(L, registry_slot::main_task);
  auto& task = object_at<lua_task>(L, -1);
  task.push_outcome(L, lua_gettop(L));
  if (task.status != task_state::returned) {
    const int object = lua_gettop(L);
    error_object::push_text(L, object);
    error_object::push_report(L, object);
    v.message = lua_tostring(L, -2);
    v.problem.message = lua_tostring(L, -1);
  }
  lua_pushboolean(L, 0);
  vm::set_registry(L, registry_slot::main_task);
  return 0;
}

}  // namespace

std::string_view without_preamble(std::string_view source) noexcept {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (source.starts_with(byte_order_mark)) source.remove_prefix(byte_order_mark.size());
  if (source.starts_with('#')) source.remove_prefix(std::min(source.find('\n'), source.size()));
  return source;
}

namespace {

// What a report says of the script itself needs no name: there is only one.
std::string without_name(const std::string& report, std::uint64_t main) {
  const std::string name = "task " + std::to_string(main) + " (main) failed: ";
  return report.starts_with(name) ? report.substr(name.size()) : report;
}

}  // namespace

lua_host::lua_host(lua_host_options options) : parts_(std::make_unique<parts>(options)) {}
lua_host::~lua_host() = default;
void lua_host::close() { parts_->world.close(); }

const std::string& lua_host::invalid() const noexcept { return parts_->invalid; }
runtime& lua_host::engine() noexcept { return parts_->world.engine; }
perilune::vm& lua_host::machine() noexcept { return parts_->world.machine; }

result<unit> lua_host::start(const main_script& what) {
  error problem{error_kind::misuse, parts_->invalid, 0, {}};
  if (!problem.message.empty()) return problem;
  loading load{&what, without_preamble(what.source)};
  if (!protect::call_outside(parts_->world.machine.main(), load_and_spawn, &load, &problem.message)) return problem;
  parts_->main = load.task;
  return unit{};
}

bool lua_host::ended() const noexcept { return !parts_->main || parts_->main->settled(); }

script_end lua_host::end() {
  script_end end;
  vm& v = parts_->world.machine;
  if (const lua_task* main = std::exchange(parts_->main, nullptr)) {
    const task_state how = main->status;
    const std::uint64_t id = main->id;
    if (!protect::call_outside(v.main(), read_end, nullptr, &v.problem.message)) v.message = v.problem.message;
    if (how != task_state::returned) {
      end.how = how == task_state::failed ? script_end::kind::failed : script_end::kind::cancelled;
      end.message = v.message;
      end.report = without_name(v.problem.message, id);
    }
  }
  v.flush_unobserved();
  end.unobserved = v.unobserved();
  end.exited = v.exiting;
  end.exit_code = v.exit_code;
  return end;
}

std::uint64_t lua_host::run_out() { return parts_->world.run_to_the_end(); }

script_end lua_host::run(const main_script& what) {
  if (const auto started = start(what); !started) {
    script_end end;
    end.how = script_end::kind::not_loaded;
    end.message = started.error().message;
    return end;
  }
  parts_->world.engine.run_until_settled(*parts_->main);
  script_end end = this->end();
  end.unobserved = run_out();
  end.exited = parts_->world.machine.exiting;
  end.exit_code = parts_->world.machine.exit_code;
  return end;
}

}  // namespace perilune
