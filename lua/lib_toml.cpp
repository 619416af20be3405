// The native half of perilune.toml: a TOML text becomes a JSON text `[values, places]`, for which the way into Lua exists.
// Dates and times become strings, and so do inf and nan. scripts/perilune/toml.lua says what scripts see of it.
#include <cmath>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>
#define TOML_HEADER_ONLY 1  // its exceptions must not cross into a library with an unwinder of its own
#include <toml++/toml.h>

#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

using json = nlohmann::ordered_json;

json place_of(const toml::source_region& source) { return json::array({source.begin.line, source.begin.column}); }

template <class T>
std::string written(const T& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

json scalar(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* number = node.as_floating_point()) {
    if (std::isfinite(number->get())) return number->get();
    return std::isnan(number->get()) ? "nan" : number->get() > 0 ? "inf" : "-inf";
  }
  if (const auto* date = node.as_date()) return written(date->get());
  if (const auto* time = node.as_time()) return written(time->get());
  return written(node.as_date_time()->get());
}

// The value, and for each thing inside where it is: {at = [line, column], keys = {name: place of the name}, within = ...}.
struct placed {
  json value;
  json place;
};

placed read_node(const toml::node& node) {
  placed out{nullptr, {{"at", place_of(node.source())}}};
  if (const auto* table = node.as_table()) {
    out.value = json::object();
    for (const auto& [key, item] : *table) {
      placed inner = read_node(item);
      const std::string name(key.str());
      out.place["keys"][name] = place_of(key.source());
      out.place["within"][name] = std::move(inner.place);
      out.value[name] = std::move(inner.value);
    }
  } else if (const auto* list = node.as_array()) {
    out.value = json::array();
    for (const toml::node& item : *list) {
      placed inner = read_node(item);
      out.place["within"].push_back(std::move(inner.place));
      out.value.push_back(std::move(inner.value));
    }
  } else {
    out.value = scalar(node);
  }
  return out;
}

// Leaves the text, or the problem as "line:column: what", in vm::message.
bool convert(std::string_view source, vm& v) {
  try {
    const toml::table read = toml::parse(source);
    placed all = read_node(read);
    v.message = json::array({std::move(all.value), std::move(all.place)}).dump();
    return true;
  } catch (const toml::parse_error& problem) {
    const toml::source_position at = problem.source().begin;
    v.message = std::to_string(at.line) + ":" + std::to_string(at.column) + ": " + std::string(problem.description());
    return false;
  }
}

// to_json(text) -> json text, or nil and what is wrong with it.
reply to_json_body(lua_State* L, vm& v) {
  std::size_t size = 0;
  const char* text = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &size) : nullptr;
  if (!text) return bad_argument(v, 1, "a TOML text (string) expected", L);
  const bool read = convert({text, size}, v);
  if (!read) lua_pushnil(L);
  lua_pushlstring(L, v.message.data(), v.message.size());
  v.message.clear();
  return read ? 1 : 2;
}

}  // namespace

int open_toml(lua_State* L) {
  constexpr library_function functions[] = {{"to_json", protect::native<to_json_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
