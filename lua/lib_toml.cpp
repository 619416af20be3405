// The native half of perilune.toml: a TOML text becomes a tape, for which the way into Lua exists. Dates and times become strings,
// and so do inf and nan. scripts/perilune/toml.lua says what scripts see of it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#define TOML_HEADER_ONLY 1  // its exceptions must not cross into a library with an unwinder of its own
#include <toml++/toml.h>

#include "json_tape.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"

namespace perilune {

namespace {

// A position as one number, since there are many: line * 65536 + column.
lua_Integer position(const toml::source_region& source) {
  return (lua_Integer{source.begin.line} << 16) + std::min<lua_Integer>(source.begin.column, 0xffff);
}

// Values --------------------------------------------------------------------------------------------------------------

void put_value(json_tape& tape, const toml::node& node);

void put_table(json_tape& tape, const toml::table& table) {
  tape.open_object();
  for (const auto& [key, item] : table) {
    tape.put_key(key.str());
    put_value(tape, item);
  }
  tape.close();
}

void put_list(json_tape& tape, const toml::array& list) {
  tape.open_list();
  for (const toml::node& item : list) put_value(tape, item);
  tape.close();
}

template <class T>
void put_words(json_tape& tape, const T& value) {
  std::ostringstream words;
  words << value;
  tape.put_text(words.str());
}

void put_number(json_tape& tape, double number) {
  if (std::isfinite(number)) return tape.put_number(number);
  tape.put_text(std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
}

void put_value(json_tape& tape, const toml::node& node) {
  if (const auto* table = node.as_table()) return put_table(tape, *table);
  if (const auto* list = node.as_array()) return put_list(tape, *list);
  if (const auto* text = node.as_string()) return tape.put_text(text->get());
  if (const auto* whole = node.as_integer()) return tape.put_integer(whole->get());
  if (const auto* flag = node.as_boolean()) return tape.put_boolean(flag->get());
  if (const auto* number = node.as_floating_point()) return put_number(tape, number->get());
  if (const auto* date = node.as_date()) return put_words(tape, date->get());
  if (const auto* time = node.as_time()) return put_words(tape, time->get());
  put_words(tape, node.as_date_time()->get());
}

// Places --------------------------------------------------------------------------------------------------------------
//
// For each table, and each list with some in it: {at = position, keys = {name: position of the name}, within = {name or index:
// the same of what is inside}}. Tables that lie more than `depth` deep are left out.

bool has_place(const toml::node& node) {
  if (node.is_table()) return true;
  const auto* list = node.as_array();
  return list && std::any_of(list->begin(), list->end(), has_place);
}

void put_place(json_tape& tape, const toml::node& node, lua_Integer depth);

void put_places_within(json_tape& tape, const toml::table& table, lua_Integer depth) {
  bool any = false;
  for (const auto& [key, item] : table) {
    if (!has_place(item)) continue;
    if (!std::exchange(any, true)) {
      tape.put_key("within");
      tape.open_object();
    }
    tape.put_key(key.str());
    put_place(tape, item, depth);
  }
  if (any) tape.close();
}

void put_places_within(json_tape& tape, const toml::array& list, lua_Integer depth) {
  tape.put_key("within");
  tape.open_object();
  std::size_t index = 0;
  for (const toml::node& item : list) {
    ++index;
    if (!has_place(item)) continue;
    tape.put_key(std::to_string(index));
    put_place(tape, item, depth);
  }
  tape.close();
}

void put_place(json_tape& tape, const toml::node& node, lua_Integer depth) {
  tape.open_object();
  tape.put_key("at");
  tape.put_integer(position(node.source()));
  if (const auto* table = node.as_table()) {
    tape.put_key("keys");
    tape.open_object();
    for (const auto& [key, item] : *table) {
      tape.put_key(key.str());
      tape.put_integer(position(key.source()));
    }
    tape.close();
    if (depth > 1) put_places_within(tape, *table, depth - 1);
  } else if (depth > 1) {
    put_places_within(tape, *node.as_array(), depth - 1);
  }
  tape.close();
}

// Records the list of the values and their places, or leaves the problem as "line:column: what" in vm::message.
bool read(std::string_view source, json_tape& tape, lua_Integer depth, vm& v) {
  try {
    const toml::table table = toml::parse(source);
    tape.open_list();
    put_table(tape, table);
    put_place(tape, table, depth);
    tape.close();
    return true;
  } catch (const toml::parse_error& problem) {
    const toml::source_position at = problem.source().begin;
    v.message = std::to_string(at.line) + ":" + std::to_string(at.column) + ": " + std::string(problem.description());
    return false;
  }
}

// read(text [, depth of places]) -> {values, places}, or nil and what is wrong with the text.
reply read_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a TOML text (string) expected", L);
  const lua_Integer depth = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : std::numeric_limits<lua_Integer>::max();
  lua_settop(L, 1);
  auto& tape = push_object<json_tape>(L, type_name::json_tape, 0);
  push_type(L, type_name::json_list);
  std::size_t size = 0;
  const char* text = lua_tolstring(L, 1, &size);
  const bool good = read({text, size}, tape, depth, v);
  if (good) {
    tape.push(L, 3, 3);  // TOML has no null
  } else {
    lua_pushnil(L);
    lua_pushlstring(L, v.message.data(), v.message.size());
    v.message.clear();
  }
  tape.clear();
  return good ? 1 : 2;
}

}  // namespace

int open_toml(lua_State* L) {
  define_tapes(L);
  constexpr library_function functions[] = {{"read", protect::native<read_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
