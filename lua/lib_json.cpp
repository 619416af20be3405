// perilune.json: decode, encode, null and array. See lua-api: The world outside.
#include <cstring>

#include "json_tape.hpp"
#include "json_text.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "option_table.hpp"

namespace perilune {

namespace {

// Texts above this size are not worth keeping room for.
constexpr std::size_t kept_capacity = 64 * 1024;

reply push_message(lua_State* L, vm& v) {
  lua_pushlstring(L, v.message.data(), v.message.size());
  if (v.message.capacity() > kept_capacity) v.message = std::string();
  return 1;
}

// Reading: the text becomes a tape inside a userdata, then the tape becomes values.

bool read_tape(vm& v, json_tape& tape, const char* text, std::size_t size) {
  if (tape.read({text, size})) return true;
  v.message = tape.problem();
  return false;
}

reply decode_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a JSON text (string) expected", L);
  lua_settop(L, 1);
  auto& tape = push_object<json_tape>(L, type_name::json_tape, 0);
  std::size_t size = 0;
  const char* text = lua_tolstring(L, 1, &size);
  if (!read_tape(v, tape, text, size)) {
    tape.clear();
    lua_pushnil(L);
    push_message(L, v);
    return 2;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  push_type(L, type_name::json_list);
  tape.push(L, 3, 4);
  tape.clear();
  return 1;
}

reply collect_tape(lua_State* L, vm&) {
  object_at<json_tape>(L, 1).~json_tape();
  return 0;
}

// Writing.

constexpr const char* encode_options[] = {"indent", "sort_keys"};
constexpr lua_Integer widest_indent = 16;
constexpr const char* spaces = "                ";

// `indent`: a number of spaces, true for two, or the text of one level. The value is on top of the stack.
reply read_indent(lua_State* L, vm& v, json_layout& layout) {
  constexpr const char* expected = "a number of spaces from 0 to 16, true, or a string of blanks expected";
  switch (lua_type(L, -1)) {
    case LUA_TNIL:
      return 0;
    case LUA_TBOOLEAN:
      layout.pretty = lua_toboolean(L, -1) != 0;
      layout.indent = spaces;
      layout.indent_size = 2;
      return 0;
    case LUA_TNUMBER:
      if (read_count(L, -1, widest_indent) < 0) return bad_option(L, v, "indent", "encode", expected);
      layout.indent = spaces;
      layout.indent_size = static_cast<std::size_t>(lua_tointeger(L, -1));
      layout.pretty = layout.indent_size > 0;
      return 0;
    case LUA_TSTRING:
      layout.indent = lua_tolstring(L, -1, &layout.indent_size);
      layout.pretty = true;
      if (std::strspn(layout.indent, " \t") != layout.indent_size)
        return bad_option(L, v, "indent", "encode", expected);
      return 0;
    default:
      return bad_option(L, v, "indent", "encode", expected);
  }
}

// A reply < 0 refuses. The indentation's text stays on the stack.
reply read_layout(lua_State* L, vm& v, json_layout& layout) {
  if (lua_isnil(L, 2)) return 0;
  if (!lua_istable(L, 2)) return bad_argument(v, 2, "a table of options expected", L);
  if (const reply refused = check_option_names(L, v, 2, "encode", encode_options); refused < 0) return refused;
  lua_getfield(L, 2, "sort_keys");
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1)) return bad_option(L, v, "sort_keys", "encode", "a boolean expected");
  layout.sorted = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_getfield(L, 2, "indent");
  return read_indent(L, v, layout);
}

bool write_text(lua_State* L, vm& v, const json_layout& layout) {
  std::string text = std::move(v.message);
  text.clear();
  json_writer writer(L, text, layout);
  const bool written = writer.write(1);
  v.message = written ? std::move(text) : writer.problem();
  return written;
}

reply encode_body(lua_State* L, vm& v) {
  if (lua_isnone(L, 1)) return bad_argument(v, 1, "a value expected", L);
  lua_settop(L, 2);
  json_layout layout;
  if (const reply refused = read_layout(L, v, layout); refused < 0) return refused;
  if (write_text(L, v, layout)) return push_message(L, v);
  v.argument = 1;
  return action::raise_argument;
}

// json.array([table]) -> the table, written as a list even when it is empty.
reply array_body(lua_State* L, vm& v) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  if (!lua_istable(L, 1)) return bad_argument(v, 1, "a table expected", L);
  lua_settop(L, 1);
  push_type(L, type_name::json_list);
  if (lua_getmetatable(L, 1)) {
    const bool marked = lua_rawequal(L, 2, 3) != 0;
    lua_settop(L, 1);
    return marked ? 1 : raise_text(v, "bad argument #1 to 'array' (a table with a metatable of its own)");
  }
  lua_setmetatable(L, 1);
  return 1;
}

reply print_null(lua_State* L, vm&) {
  lua_pushliteral(L, "null");
  return 1;
}

}  // namespace

void define_tapes(lua_State* L) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_tape>}};
  define_type(L, type_name::json_tape, "perilune.json.tape", {}, metamethods);
  if (has_type(L, type_name::json_list)) return;
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "perilune.json.array");
  lua_setfield(L, -2, "__name");
  keep_type(L, type_name::json_list);
}

int open_json(lua_State* L) {
  define_tapes(L);
  constexpr library_function null_metamethods[] = {{"__tostring", protect::native<print_null>}};
  define_type(L, type_name::json_null, "perilune.json.null", {}, null_metamethods);
  constexpr library_function functions[] = {{"encode", protect::native<encode_body>},
                                            {"array", protect::native<array_body>}};
  lua_createtable(L, 0, 4);
  set_functions(L, functions);
  push_object<json_null>(L, type_name::json_null, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "null");
  lua_pushcclosure(L, protect::native<decode_body>, 1);
  lua_setfield(L, -2, "decode");
  return 1;
}

}  // namespace perilune
