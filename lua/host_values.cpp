// Copying values in and out, and keeping what cannot be copied. See host_values.hpp and <perilune/value.hpp>.
#include "host_values.hpp"

#include <cmath>
#include <cstdio>

#include "anchor.hpp"
#include "library.hpp"
#include "object.hpp"
#include "protect.hpp"

namespace perilune {

using detail::anchor;
using detail::anchor_ptr;

namespace detail {

anchor::~anchor() {
  const std::lock_guard lock(home_->mutex);
  if (!home_->host) return;
  try {
    home_->dropped.push_back(entry_);
  } catch (const std::bad_alloc&) {
    // The entry stays until the VM ends.
  }
}

host_state* anchor::use(error* refused) const noexcept {
  const std::lock_guard lock(home_->mutex);
  if (home_->host && home_->thread == std::this_thread::get_id()) return home_->host;
  if (refused)
    *refused = {
        error_kind::misuse, home_->host ? "used on a thread that is not its host's" : "its host is gone", 0, {}};
  return nullptr;
}

std::optional<std::int64_t> whole(const value& v) noexcept {
  if (v.integer()) return *v.integer();
  if (!v.number() || std::floor(*v.number()) != *v.number()) return std::nullopt;
  if (*v.number() < -9223372036854775808.0 || *v.number() >= 9223372036854775808.0) return std::nullopt;
  return static_cast<std::int64_t>(*v.number());
}

}  // namespace detail

const char* to_string(value_type type) noexcept {
  constexpr const char* names[] = {"nil",   "boolean",  "number", "number", "string",
                                   "table", "function", "task",   "object", "userdata"};
  return names[static_cast<unsigned char>(type)];
}

value::value(std::vector<value> list) : value(table(std::move(list))) {}
value::value(table t) : state_(std::make_shared<const table>(std::move(t))) {}

value_type value::type() const noexcept {
  if (const auto* held = std::get_if<reference>(&state_)) return held->type;
  constexpr value_type types[] = {value_type::nil,    value_type::boolean, value_type::integer, value_type::number,
                                  value_type::string, value_type::table,   value_type::object};
  return types[state_.index()];
}

const table* value::fields() const noexcept {
  const auto* shared = std::get_if<std::shared_ptr<const table>>(&state_);
  return shared ? shared->get() : nullptr;
}

const anchor_ptr* value::held() const noexcept {
  const auto* reference_held = std::get_if<reference>(&state_);
  return reference_held ? &reference_held->held : nullptr;
}

namespace {
const value nothing;
}

const value* table::find(std::string_view name) const noexcept {
  for (const auto& [key, field] : fields)
    if (key.string() && *key.string() == name) return &field;
  return nullptr;
}

const value& value::operator[](std::string_view name) const noexcept {
  const value* found = fields() ? fields()->find(name) : nullptr;
  return found ? *found : nothing;
}

const value& value::operator[](std::size_t index) const noexcept {
  return fields() && index < fields()->items.size() ? fields()->items[index] : nothing;
}

std::string value::text() const {
  if (string()) return *string();
  if (boolean()) return *boolean() ? "true" : "false";
  if (integer()) return std::to_string(*integer());
  if (!number()) return to_string(type());
  char written[48];
  std::snprintf(written, sizeof written, "%.14g", *number());
  const std::string plain = written;
  return plain.find_first_not_of("-0123456789") == std::string::npos ? plain + ".0" : plain;
}

namespace {

constexpr int deepest = 100;

int push_kept(lua_State* L, vm& v, const anchor_ptr& held) {
  if (held->home() != v.anchors) return lua_pushnil(L), 0;
  return lua_rawgeti(L, LUA_REGISTRYINDEX, held->entry());
}

// False, and nil, where the class is not defined here.
bool push_host_object(lua_State* L, const detail::object_ref& ref) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, ref.type) != LUA_TTABLE) return false;
  push_object<host_object>(L, 0);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  object_at<host_object>(L, -1).ref = ref;
  return true;
}

bool push_table(lua_State* L, vm& v, const table& given) {
  bool whole = true;
  lua_createtable(L, static_cast<int>(given.items.size()), static_cast<int>(given.fields.size()));
  lua_Integer i = 0;
  for (const value& each : given.items) {
    whole &= push_value(L, v, each);
    lua_rawseti(L, -2, ++i);
  }
  for (const auto& [key, field] : given.fields) {
    if (key.is_nil() || (key.number() && *key.number() != *key.number())) continue;
    whole &= push_value(L, v, key);
    whole &= push_value(L, v, field);
    lua_rawset(L, -3);
  }
  return whole;
}

}  // namespace

bool push_value(lua_State* L, vm& v, const value& given) {
  protect::need_stack(L, LUA_MINSTACK, "too many values");
  if (given.is_nil()) return lua_pushnil(L), true;
  if (const bool* b = given.boolean()) return lua_pushboolean(L, *b), true;
  if (const std::int64_t* i = given.integer()) return lua_pushinteger(L, *i), true;
  if (const double* d = given.number()) return lua_pushnumber(L, *d), true;
  if (const std::string* s = given.string()) return lua_pushlstring(L, s->data(), s->size()), true;
  if (const table* t = given.fields()) return push_table(L, v, *t);
  if (const detail::object_ref* object = given.object()) return push_host_object(L, *object);
  return push_kept(L, v, *given.held()) != 0;
}

namespace {

// Pushes the values whose list is the light userdata at 1.
reply push_all_body(lua_State* L, vm& v) {
  const auto& given = *static_cast<const value_list*>(lua_touserdata(L, 1));
  bool whole = true;
  for (const value& each : given) whole &= push_value(L, v, each);
  if (!whole) return raise_text(v, "a value of another host, or an object of a class that is not defined here");
  return static_cast<reply>(given.size());
}

reply keep_body(lua_State* L, vm&) {
  lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
  return 1;
}

bool read_at(lua_State* L, vm& v, int index, value& out, int depth);

bool read_table(lua_State* L, vm& v, int index, value& out, int depth) {
  if (depth == 0 || !lua_checkstack(L, 8)) return false;
  table t;
  const auto length = static_cast<lua_Integer>(lua_rawlen(L, index));
  t.items.reserve(static_cast<std::size_t>(length));
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(L, index, i);
    const bool read = read_at(L, v, lua_gettop(L), t.items.emplace_back(), depth - 1);
    lua_pop(L, 1);
    if (!read) return false;
  }
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= length) continue;
    auto& [key, field] = t.fields.emplace_back();
    const int top = lua_gettop(L);
    if (read_at(L, v, top - 1, key, depth - 1) && read_at(L, v, top, field, depth - 1)) continue;
    lua_pop(L, 2);
    return false;
  }
  out = value(std::move(t));
  return true;
}

bool read_userdata(lua_State* L, vm& v, int index, value& out) {
  if (const host_object* object = to_object<host_object>(L, index)) {
    if (object->ref.object) out = value(object->ref);
    return true;
  }
  const value_type type = to_object<lua_task>(L, index) ? value_type::task : value_type::other;
  anchor_ptr held = keep_value(L, v, index);
  if (!held) return false;
  out = value(type, std::move(held));
  return true;
}

bool read_at(lua_State* L, vm& v, int index, value& out, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
      return true;
    case LUA_TBOOLEAN:
      out = value(lua_toboolean(L, index) != 0);
      return true;
    case LUA_TNUMBER:
      out = lua_isinteger(L, index) ? value(static_cast<std::int64_t>(lua_tointeger(L, index)))
                                    : value(lua_tonumber(L, index));
      return true;
    case LUA_TSTRING: {
      std::size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      out = value(std::string_view(text, size));
      return true;
    }
    case LUA_TTABLE:
      return read_table(L, v, index, out, depth);
    case LUA_TFUNCTION: {
      anchor_ptr held = keep_value(L, v, index);
      if (!held) return false;
      out = value(value_type::function, std::move(held));
      return true;
    }
    default:
      return read_userdata(L, v, index, out);
  }
}

}  // namespace

bool push_values(lua_State* L, const value_list& given) {
  lua_pushcfunction(L, protect::native<push_all_body>);
  lua_pushlightuserdata(L, const_cast<value_list*>(&given));
  return protect::try_call(L, 1, LUA_MULTRET);
}

anchor_ptr keep_value(lua_State* L, vm& v, int index) {
  if (!v.anchors || !lua_checkstack(L, 4)) return nullptr;
  index = lua_absindex(L, index);
  lua_task* task = to_object<lua_task>(L, index);
  lua_pushcfunction(L, protect::native<keep_body>);
  lua_pushvalue(L, index);
  const bool kept = protect::try_call(L, 1, 1);
  const int entry = kept ? static_cast<int>(lua_tointeger(L, -1)) : 0;
  lua_pop(L, 1);
  return kept ? std::make_shared<const anchor>(v.anchors, entry, task) : nullptr;
}

bool read_value(lua_State* L, vm& v, int index, value& out) {
  return read_at(L, v, lua_absindex(L, index), out, deepest);
}

namespace {

int collect_object(lua_State* L) {
  object_at<host_object>(L, 1).~host_object();
  return 0;
}

int same_object(lua_State* L) {
  const host_object* a = to_object<host_object>(L, 1);
  const host_object* b = to_object<host_object>(L, 2);
  lua_pushboolean(L, a && b && a->ref.object == b->ref.object);
  return 1;
}

}  // namespace

void push_class(lua_State* L, const void* type, std::string_view name) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, type) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 5);
  lua_newtable(L);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, collect_object);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, same_object);
  lua_setfield(L, -2, "__eq");
  for (const char* field : {"__name", "__metatable"}) {
    lua_pushlstring(L, name.data(), name.size());
    lua_setfield(L, -2, field);
  }
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, type);
}

bool push_place(lua_State* L, std::string_view path, bool make) {
  lua_pushglobaltable(L);
  for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    lua_pushlstring(L, path.data(), dot);
    path.remove_prefix(dot + 1);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL && make) {
      lua_pop(L, 1);
      lua_newtable(L);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, -5);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
    if (!lua_istable(L, -1)) return false;
  }
  lua_pushlstring(L, path.data(), path.size());
  return true;
}

reply no_place(vm& v, std::string_view path) {
  return raise_error(v, {error_kind::misuse, "'" + std::string(path) + "' is no field of a table", 0, {}});
}

}  // namespace perilune
