// peri.shared: a table that all VMs read and none can change. See lua-api: More cores; shared_tree.hpp.
#include "library.hpp"
#include "object.hpp"
#include "shared_kinds.hpp"
#include "shared_tree.hpp"

namespace perilune {

namespace {

struct shared_handle {
  static constexpr std::uint64_t tag = 0x73686172'e07b5d29ULL;
  std::shared_ptr<const shared_tree> tree{};
  const shared_table* table = nullptr;
};

shared_handle& push_handle(lua_State* L) {
  auto& made = push_object<shared_handle>(L, type_name::shared_value, 0);
  return made;
}

// Pushes a value that stands in the table at stack index 1, or nothing.
void push_value(lua_State* L, const shared_value* value) {
  if (!value) return lua_pushnil(L);
  switch (value->index()) {
    case 1:
      return lua_pushboolean(L, *std::get_if<bool>(value));
    case 2:
      return lua_pushinteger(L, *std::get_if<lua_Integer>(value));
    case 3:
      return lua_pushnumber(L, *std::get_if<lua_Number>(value));
    case 4: {
      const std::string& text = *std::get_if<std::string>(value);
      return static_cast<void>(lua_pushlstring(L, text.data(), text.size()));
    }
    case 5: {
      shared_handle& made = push_handle(L);
      made.tree = object_at<shared_handle>(L, 1).tree;
      made.table = *std::get_if<const shared_table*>(value);
      return;
    }
    default:
      return lua_pushnil(L);
  }
}

// The key at a stack index as the table has it. False where it can have none like it.
bool read_key(lua_State* L, int index, shared_value& key) {
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      key = std::monostate{};
      return true;
    case LUA_TBOOLEAN:
      key = lua_toboolean(L, index) != 0;
      return true;
    case LUA_TNUMBER: {
      int whole = 0;
      const lua_Integer integer = lua_tointegerx(L, index, &whole);
      if (whole)
        key = integer;
      else
        key = lua_tonumber(L, index);
      return true;
    }
    case LUA_TSTRING: {
      std::size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      key = std::string(text, size);
      return true;
    }
    default: {
      const auto* table = to_object<shared_handle>(L, index);
      if (table) key = table->table;
      return table != nullptr;
    }
  }
}

const shared_value* look_up(lua_State* L) {
  shared_value key;
  return read_key(L, 2, key) ? object_at<shared_handle>(L, 1).table->find(key) : nullptr;
}

reply index_body(lua_State* L, vm&) {
  if (!to_object<shared_handle>(L, 1)) return lua_pushnil(L), 1;
  push_value(L, look_up(L));
  return 1;
}

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a shared value expected", L); }

reply newindex_body(lua_State*, vm& v) { return raise_text(v, "a shared value cannot be changed"); }

reply length_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  lua_pushinteger(L, static_cast<lua_Integer>(object_at<shared_handle>(L, 1).table->length()));
  return 1;
}

bool next_item(lua_State* L, shared_table::item& found) {
  shared_value key;
  return read_key(L, 2, key) && object_at<shared_handle>(L, 1).table->next(key, found);
}

reply next_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 2);
  shared_table::item found{};
  if (!next_item(L, found)) return lua_pushnil(L), 1;
  if (found.key)
    push_value(L, found.key);
  else
    lua_pushinteger(L, found.index);
  push_value(L, found.value);
  return 2;
}

reply pairs_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 1);
  lua_pushcfunction(L, protect::native<next_body>);
  lua_insert(L, 1);
  lua_pushnil(L);
  return 3;
}

// Two views are equal when they show the same table.
reply equal_body(lua_State* L, vm&) {
  const auto* a = to_object<shared_handle>(L, 1);
  const auto* b = to_object<shared_handle>(L, 2);
  lua_pushboolean(L, a && b && a->table == b->table);
  return 1;
}

reply print_body(lua_State* L, vm&) {
  const auto* handle = to_object<shared_handle>(L, 1);
  lua_pushfstring(L, "shared value: %p", handle ? static_cast<const void*>(handle->table) : nullptr);
  return 1;
}

reply collect_handle(lua_State* L, vm&) {
  object_at<shared_handle>(L, 1).~shared_handle();
  return 0;
}

// The tree of the table at 1; loaded modules on top. A reply < 0 refuses.
reply make_tree(lua_State* L, vm& v, std::shared_ptr<const shared_tree>& tree) {
  parcel plain;
  std::string problem;
  if (!pack(L, 1, 1, {nullptr, "", false}, plain, problem, {.plain = true}))
    return raise_error(v, {error_kind::transfer, std::move(problem), 0, {}});
  const std::shared_ptr<shared_tree> made = shared_tree::make(plain);
  if (!made) return raise_text(v, "not a value that can be shared");
  plain = {};
  v.answer_for(L, made->bytes(), made->share);
  tree = made;
  return 0;
}

reply shared_body(lua_State* L, vm& v) {
  const int type = lua_type(L, 1);
  const bool scalar = type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
  lua_settop(L, 1);
  if (scalar || to_object<shared_handle>(L, 1)) return 1;
  if (type != LUA_TTABLE) return bad_argument(v, 1, "a table, string, number or boolean expected", L);
  shared_handle& made = push_handle(L);
  push_loaded_modules(L);
  if (const reply refused = make_tree(L, v, made.tree); refused < 0) return refused;
  made.table = &made.tree->root();
  lua_settop(L, 2);
  return 1;
}

}  // namespace

void shared_view::push(lua_State* L, vm&) {
  shared_handle& made = push_handle(L);
  made.tree = tree;
  made.table = &table;
}

crossing_ptr cross_shared_value(lua_State* L, int index) {
  const auto* handle = to_object<shared_handle>(L, index);
  return handle && handle->table ? std::make_shared<shared_view>(handle->tree, *handle->table) : nullptr;
}

void open_shared_values(lua_State* L) {
  constexpr library_function functions[] = {{"shared", protect::native<shared_body>}};
  set_functions(L, functions);
}

void define_shared_value(lua_State* L) {
  constexpr library_function metamethods[] = {
      {"__index", protect::native<index_body>},  {"__newindex", protect::native<newindex_body>},
      {"__len", protect::native<length_body>},   {"__pairs", protect::native<pairs_body>},
      {"__eq", protect::native<equal_body>},     {"__tostring", protect::native<print_body>},
      {"__gc", protect::native<collect_handle>},
  };
  define_type(L, type_name::shared_value, "perilune.shared", {}, metamethods);
}

}  // namespace perilune
