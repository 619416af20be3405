// The native half of perilune.toml: a TOML text becomes a JSON text `[values, places]`, for which the way into Lua exists.
// Dates and times become strings, and so do inf and nan. scripts/perilune/toml.lua says what scripts see of it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>
#define TOML_HEADER_ONLY 1  // its exceptions must not cross into a library with an unwinder of its own
#include <toml++/toml.h>

#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

// A position as one number, since there are many: line * 65536 + column.
std::string position(const toml::source_region& source) {
  return std::to_string((std::uint64_t{source.begin.line} << 16) + std::min<std::uint64_t>(source.begin.column, 0xffff));
}

// Writes both texts in one walk: the values, and for each table and list of such where it is, as
// {at = position, keys = {name: position of the name}, within = {name or index: the same of what is inside}}.
class writer {
 public:
  void write(const toml::table& table) {
    std::string keys;
    std::string within;
    value_ += '{';
    for (const auto& [key, item] : table) {
      const std::string separator = keys.empty() ? "" : ",";
      const std::string name = nlohmann::json(key.str()).dump();
      value_.append(separator).append(name).append(":");
      keys.append(separator).append(name).append(":").append(position(key.source()));
      write_item(item, name + ":", within);
    }
    value_ += '}';
    place_ = "{\"at\":" + position(table.source()) + ",\"keys\":{" + keys + "}";
    if (!within.empty()) place_ += ",\"within\":{" + within + "}";
    place_ += '}';
  }

  // `[values, places]`
  std::string text() const { return "[" + value_ + "," + place_ + "]"; }

 private:
  // Leaves the place of what it has written, where that has one, in place_.
  void write_item(const toml::node& item, const std::string& label, std::string& within) {
    place_.clear();
    if (const auto* table = item.as_table())
      write(*table);
    else if (const auto* list = item.as_array())
      write_list(*list);
    else
      write_scalar(item);
    if (place_.empty()) return;
    if (!within.empty()) within += ',';
    within.append(label).append(place_);
  }

  void write_list(const toml::array& list) {
    std::string within;
    std::size_t index = 0;
    value_ += '[';
    for (const toml::node& item : list) {
      if (index++ > 0) value_ += ',';
      write_item(item, "\"" + std::to_string(index) + "\":", within);
    }
    value_ += ']';
    place_.clear();
    if (!within.empty()) place_ = "{\"at\":" + position(list.source()) + ",\"within\":{" + within + "}}";
  }

  template <class T>
  void write_stream(const T& value) {
    std::ostringstream text;
    text << value;
    value_ += nlohmann::json(text.str()).dump();
  }

  void write_scalar(const toml::node& node) {
    if (const auto* text = node.as_string()) return static_cast<void>(value_ += nlohmann::json(text->get()).dump());
    if (const auto* whole = node.as_integer()) return static_cast<void>(value_ += std::to_string(whole->get()));
    if (const auto* flag = node.as_boolean()) return static_cast<void>(value_ += flag->get() ? "true" : "false");
    if (const auto* number = node.as_floating_point()) return write_number(number->get());
    if (const auto* date = node.as_date()) return write_stream(date->get());
    if (const auto* time = node.as_time()) return write_stream(time->get());
    write_stream(node.as_date_time()->get());
  }

  void write_number(double number) {
    if (std::isfinite(number))
      value_ += nlohmann::json(number).dump();
    else
      value_ += std::isnan(number) ? "\"nan\"" : number > 0 ? "\"inf\"" : "\"-inf\"";
  }

  std::string value_;
  std::string place_;
};

// Leaves the text, or the problem as "line:column: what", in vm::message.
bool convert(std::string_view source, vm& v) {
  try {
    const toml::table read = toml::parse(source);
    writer texts;
    texts.write(read);
    v.message = texts.text();
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
