// Loading and running scripts. See host.hpp.
#include <perilune/host.hpp>

#include "error_object.hpp"
#include "library.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "vm.hpp"

namespace perilune {

struct host::parts {
  explicit parts(host_options o) : options(std::move(o)), engine(options.runtime), machine(engine, {.report = options.report}) {
    if (engine.invalid())
      invalid = engine.invalid()->message;
    else if (!machine.opened())
      invalid = machine.message;
  }
  ~parts() {
    if (machine.opened()) engine.end_all();
  }
  host_options options;
  runtime engine;
  vm machine;
  std::string invalid;
};

namespace {

struct loading {
  std::string_view source;
  const std::string* name;
  const std::string* program;
  const std::vector<std::string>* arguments;
  lua_task* task = nullptr;
};

void set_arg_table(lua_State* L, const loading& load) {
  lua_createtable(L, static_cast<int>(load.arguments->size()), 1);
  lua_pushlstring(L, load.program->data(), load.program->size());
  lua_rawseti(L, -2, 0);
  lua_Integer i = 0;
  for (const std::string& argument : *load.arguments) {
    lua_pushlstring(L, argument.data(), argument.size());
    lua_rawseti(L, -2, ++i);
  }
  lua_setglobal(L, "arg");
}

// Loads the chunk and queues it as the main task; its handle stays on the main stack.
int load_and_spawn(lua_State* L) {
  auto& load = *static_cast<loading*>(lua_touserdata(L, 1));
  vm& v = vm_of(L);
  set_arg_table(L, load);
  if (luaL_loadbufferx(L, load.source.data(), load.source.size(), load.name->c_str(), "t") != LUA_OK)
    return protect::conclude(L, action::raise_top);
  luaL_checkstack(L, static_cast<int>(load.arguments->size()) + 8, "too many arguments");
  for (const std::string& argument : *load.arguments) lua_pushlstring(L, argument.data(), argument.size());
  load.task = &spawn_function(L, v, static_cast<int>(load.arguments->size()), {});
  load.task->name = "main";
  lua_task::push_extras(L, lua_gettop(L));
  lua_pushliteral(L, "main");
  lua_setfield(L, -2, "name");
  lua_pop(L, 1);
  vm::set_registry(L, registry_slot::main_task);
  return 0;
}

int read_end(lua_State* L) {
  auto& end = *static_cast<script_end*>(lua_touserdata(L, 1));
  vm& v = vm_of(L);
  vm::push_registry(L, registry_slot::main_task);
  auto& task = object_at<lua_task>(L, -1);
  const int pushed = task.push_outcome(L, lua_gettop(L));
  if (task.status != task_state::returned) {
    const int object = lua_gettop(L);
    error_object::push_text(L, object);
    error_object::push_report(L, object);
    v.message = lua_tostring(L, -2);
    v.problem.message = lua_tostring(L, -1);
  }
  static_cast<void>(pushed);
  static_cast<void>(end);
  lua_pushboolean(L, 0);
  vm::set_registry(L, registry_slot::main_task);
  return 0;
}

std::string_view without_shebang(std::string_view source) {
  if (source.size() < 1 || source[0] != '#') return source;
  const std::size_t line_end = source.find('\n');
  return line_end == std::string_view::npos ? std::string_view() : source.substr(line_end);
}

}  // namespace

host::host(host_options options) : parts_(std::make_unique<parts>(std::move(options))) {}
host::~host() = default;

const std::string& host::invalid() const noexcept { return parts_->invalid; }
runtime& host::engine() noexcept { return parts_->engine; }
perilune::vm& host::machine() noexcept { return parts_->machine; }

script_end host::run(std::string_view source, const std::string& name, const std::string& program,
                     const std::vector<std::string>& arguments) {
  script_end end;
  vm& v = parts_->machine;
  const auto not_loaded = [&](std::string why) {
    end.how = script_end::kind::not_loaded;
    end.message = std::move(why);
    return end;
  };
  if (!parts_->invalid.empty()) return not_loaded(parts_->invalid);
  loading load{without_shebang(source), &name, &program, &arguments};
  std::string problem;
  if (!protect::call_outside(v.main(), load_and_spawn, &load, &problem)) return not_loaded(problem);
  parts_->engine.run_until_settled(*load.task);
  const task_state how = load.task->status;
  if (!protect::call_outside(v.main(), read_end, &end, &problem)) v.message = v.problem.message = problem;
  if (how != task_state::returned) {
    end.how = how == task_state::failed ? script_end::kind::failed : script_end::kind::cancelled;
    end.message = v.message;
    end.report = v.problem.message;
  }
  v.flush_unobserved();
  parts_->engine.run_until_idle();
  end.unobserved = v.unobserved();
  end.exited = v.exiting;
  end.exit_code = v.exit_code;
  return end;
}

}  // namespace perilune
