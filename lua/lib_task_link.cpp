// Handles of tasks of other VMs: join, await, cancel, kill, status. See lua-api: Tasks; task_link.hpp.
#include <optional>

#include "error_object.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "shared_kinds.hpp"
#include "task_link.hpp"

namespace perilune {

namespace {

struct far_task {
  static constexpr std::uint64_t tag = 0x66617274'c91d03a8ULL;
  std::shared_ptr<task_link> link{};
};

task_link& link_at(lua_State* L, int at) { return *object_at<far_task>(L, at).link; }

class far_wait final : public event_wait {
 public:
  using event_wait::event_wait;
  far_wait(std::shared_ptr<shared_event> event, const wait_description& shown) : event_wait(std::move(event), shown) {}
};

// The wait of a task, on its stack; for a status, with the answer.
struct far_waiting {
  static constexpr std::uint64_t tag = 0x66617277'58e24fb6ULL;
  std::optional<far_wait> wait{};
  std::shared_ptr<task_state> answer{};
};

far_waiting& push_waiting(lua_State* L, std::shared_ptr<shared_event> event, const char* verb, const void* of) {
  auto& made = push_object<far_waiting>(L, type_name::far_waiting, 0);
  made.wait.emplace(std::move(event), wait_description{verb, "task", of});
  return made;
}

// The failure on top names the task where it names none.
void name_task(lua_State* L, const task_link& link) {
  const int object = lua_gettop(L);
  error_object::push_field(L, object, "task");
  if (lua_isnil(L, -1)) {
    lua_createtable(L, 0, 2);
    set_count(L, "id", link.id);
    if (!link.name.empty()) {
      lua_pushlstring(L, link.name.data(), link.name.size());
      lua_setfield(L, -2, "name");
    }
    error_object::set_field(L, object, "task");
  }
  lua_settop(L, object);
}

// Pushes `true, results...` or `false, error` of a task that is over.
int push_end(lua_State* L, vm& v, int at) {
  task_link& link = link_at(L, at);
  const remote_end& end = link.end();
  const int before = lua_gettop(L);
  link.observe();
  lua_pushboolean(L, end.returned && end.problem.message.empty());
  if (!end.problem.message.empty()) {
    error_object::push_engine_error(L, v, end.problem);
  } else if (!unpack(L, v, end.values)) {
    lua_settop(L, before);
    lua_pushboolean(L, 0);
    error_object::push_engine_error(L, v, {error_kind::transfer, v.message, 0, {}});
  } else if (!end.returned && to_object<error_object>(L, -1)) {
    name_task(L, link);
  }
  return lua_gettop(L) - before;
}

struct far_join_kind final : operation_kind {
  const char* name() const noexcept override { return "join"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return link_at(L, at).over->happened() ? push_end(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    far_waiting& made = push_waiting(L, link_at(L, at).over, "join", &link_at(L, at));
    lua_replace(L, at + 1);
    return *made.wait;
  }
  int collect(lua_State* L, vm& v, int at) const override { return push_end(L, v, at); }
};
constexpr far_join_kind far_join_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a task expected", L); }

reply join_timed_out(lua_State* L, vm& v) {
  if (finish_select(L, v) == 0) return push_end(L, v, 1);
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

reply join_within(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 2, seconds); refused < 0) return refused;
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (link_at(L, 1).over->happened()) return push_end(L, v, 1);
  return wait_with_limit(L, v, far_join_verb.arm_target(L, v, 1, v.running()), seconds, join_timed_out);
}

reply join_body(lua_State* L, vm& v) {
  if (!to_object<far_task>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 2);
  return lua_isnil(L, 2) ? perform<far_join_verb>(L, v, join_body) : join_within(L, v);
}

// The end as await gives it: the results, or the error raised.
reply raise_end(lua_State* L, int count) {
  const int ok = lua_gettop(L) - count + 1;
  if (!lua_toboolean(L, ok)) return action::raise_top;
  lua_remove(L, ok);
  return count - 1;
}

reply await_granted(lua_State* L, vm& v) { return raise_end(L, push_end(L, v, 1)); }

reply await_body(lua_State* L, vm& v) {
  if (!to_object<far_task>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 2);
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (link_at(L, 1).over->happened()) return spend(v) ? await_granted(L, v) : yield_and_retry(L, v, await_body);
  return wait_for(L, v, far_join_verb.arm_target(L, v, 1, v.running()), await_granted);
}

template <bool Kills>
reply cancel_body(lua_State* L, vm& v) {
  if (!to_object<far_task>(L, 1)) return wrong_self(L, v);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return bad_argument(v, 2, "reason must be a string", L);
  const char* text = lua_isnoneornil(L, 2) ? "" : lua_tostring(L, 2);
  cancel_reason why;
  why.text = text;
  why.by_task = v.running().id;
  if (v.running().name) why.by_name = v.running().name;
  link_at(L, 1).cancel(why, Kills);
  return 0;
}

reply status_known(lua_State* L, vm&) {
  lua_pushstring(L, to_string(*object_at<far_waiting>(L, 2).answer));
  return 1;
}

// Asks the task's worker, and waits for the answer. Where nothing can wait, it runs until it has ended.
reply status_body(lua_State* L, vm& v) {
  if (!to_object<far_task>(L, 1)) return wrong_self(L, v);
  task_link& link = link_at(L, 1);
  lua_settop(L, 1);
  const bool over = link.over->happened();
  if (over || !protect::suspendable(L, v.running()))
    return lua_pushstring(L, to_string(over ? link.ended_as() : task_state::running)), 1;
  if (v.running().cancel_pending()) return action::raise_cancel;
  auto said = std::make_shared<shared_event>();
  far_waiting& asked = push_waiting(L, said, "status", &link);
  asked.answer = std::make_shared<task_state>(task_state::cancelled);
  const auto say = [said, answer = asked.answer](task_state state) {
    *answer = state;
    said->happen();
  };
  if (!link.ask_status(say)) return status_known(L, v);
  return wait_for(L, v, *asked.wait, status_known);
}

reply equal_body(lua_State* L, vm&) {
  const auto* a = to_object<far_task>(L, 1);
  const auto* b = to_object<far_task>(L, 2);
  lua_pushboolean(L, a && b && a->link == b->link);
  return 1;
}

reply print_body(lua_State* L, vm& v) {
  if (!to_object<far_task>(L, 1)) return wrong_self(L, v);
  const task_link& link = link_at(L, 1);
  const char* state = link.over->happened() ? to_string(link.ended_as()) : "elsewhere";
  const auto id = static_cast<lua_Integer>(link.id);
  if (link.name.empty())
    lua_pushfstring(L, "task %I [%s]", id, state);
  else
    lua_pushfstring(L, "task %I (%s) [%s]", id, link.name.c_str(), state);
  return 1;
}

// id and name, besides the methods in the upvalue.
reply index_body(lua_State* L, vm&) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  const auto* task = to_object<far_task>(L, 1);
  if (!task) return 1;
  if (name == "id")
    lua_pushinteger(L, static_cast<lua_Integer>(task->link->id));
  else if (name == "name" && !task->link->name.empty())
    lua_pushlstring(L, task->link->name.data(), task->link->name.size());
  return 1;
}

template <class T>
reply collect(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

}  // namespace

// In its own VM a task is what it always was.
void task_link::push(lua_State* L, vm& v) {
  if (push_own(L, v)) return;
  auto& made = push_object<far_task>(L, type_name::far_task, 0);
  made.link = shared_from_this();
}

crossing_ptr cross_task(lua_State* L, int index) {
  if (const auto* far = to_object<far_task>(L, index)) return far->link;
  return task_link::of(L, index);
}

void define_far_task(lua_State* L) {
  constexpr library_function methods[] = {
      {"join", protect::native<join_body>},
      {"await", protect::native<await_body>},
      {"cancel", protect::native<cancel_body<false>>},
      {"kill", protect::native<cancel_body<true>>},
      {"status", protect::native<status_body>},
      {"join_op", protect::native<make_operation<far_join_verb, far_task>>},
  };
  constexpr library_function metamethods[] = {{"__eq", protect::native<equal_body>},
                                              {"__tostring", protect::native<print_body>},
                                              {"__gc", protect::native<collect<far_task>>}};
  define_type(L, type_name::far_task, "perilune.task", methods, metamethods, protect::native<index_body>);
  constexpr library_function waiting[] = {{"__gc", protect::native<collect<far_waiting>>}};
  define_type(L, type_name::far_waiting, "perilune.wait", {}, waiting);
}

}  // namespace perilune
