// Watchers as scripts hold them: fs.watch(path, options). The engine's watcher does the waiting.
#include <optional>

#include "error_object.hpp"
#include "lua_watcher.hpp"
#include "operation_object.hpp"

namespace perilune {

namespace {

// Every wait uses the same operation; what it took stands in the watcher until it has been pushed.
struct lua_watcher {
  static constexpr std::uint64_t tag = 0x77617463'8a51e3b6ULL;
  std::optional<fs::watcher> watching{};
  std::optional<fs::watch_operation> waiting{};
  std::optional<fs::watch_event> event{};
};

void set_text(lua_State* L, const char* name, const std::string& text) {
  lua_pushlstring(L, text.data(), text.size());
  lua_setfield(L, -2, name);
}

reply push_event(lua_State* L, lua_watcher& watcher) {
  if (!watcher.event) {
    lua_pushnil(L);
    lua_pushliteral(L, "closed");
    return 2;
  }
  lua_createtable(L, 0, 4);
  lua_pushstring(L, fs::to_string(watcher.event->kind));
  lua_setfield(L, -2, "kind");
  set_text(L, "path", watcher.event->path);
  if (!watcher.event->from.empty()) set_text(L, "from", watcher.event->from);
  if (!watcher.event->problem) return 1;
  error_object::push_engine_error(L, vm_of(L), *watcher.event->problem);
  lua_setfield(L, -2, "error");
  return 1;
}

struct next_kind final : operation_kind {
  const char* name() const noexcept override { return "next"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& watcher = object_at<lua_watcher>(L, at);
    if (!watcher.waiting->try_now(v.running())) return not_ready;
    return collect(L, v, at);
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return *object_at<lua_watcher>(L, at).waiting;
  }
  int collect(lua_State* L, vm&, int at) const override {
    auto& watcher = object_at<lua_watcher>(L, at);
    watcher.event = watcher.waiting->take_result();
    return push_event(L, watcher);
  }
};
constexpr next_kind next_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a watcher expected: call it with ':'", L); }

reply next_body(lua_State* L, vm& v) {
  if (!to_object<lua_watcher>(L, 1)) return wrong_self(L, v);
  return perform<next_verb>(L, v, next_body);
}

reply events_body(lua_State* L, vm& v) {
  if (!to_object<lua_watcher>(L, 1)) return wrong_self(L, v);
  return push_iterator<next_body>(L);
}

reply close_body(lua_State* L, vm& v) {
  lua_watcher* watcher = to_object<lua_watcher>(L, 1);
  if (!watcher) return wrong_self(L, v);
  if (watcher->watching) watcher->watching->close();
  return 0;
}

reply collect_watcher(lua_State* L, vm&) {
  object_at<lua_watcher>(L, 1).~lua_watcher();
  return 0;
}

}  // namespace

reply push_watcher(lua_State* L, fs::watcher& opened) {
  auto& made = push_object<lua_watcher>(L, type_name::watcher, 0);
  made.watching.emplace(opened);
  made.waiting.emplace(made.watching->next());
  return 1;
}

void define_watcher(lua_State* L) {
  constexpr library_function methods[] = {
      {"next", protect::native<next_body>},
      {"next_op", protect::native<make_operation<next_verb, lua_watcher>>},
      {"events", protect::native<events_body>},
      {"close", protect::native<close_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_watcher>}};
  define_type(L, type_name::watcher, "perilune.watcher", methods, metamethods);
}

}  // namespace perilune
