// The JSON writer. See json_text.hpp.
//
// Items and members are written with a separator in front of each; when the table is complete, the first separator is
// turned into the opening bracket. Members of an object are sorted as finished text, so that no key has to be looked up.
#include "json_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "object.hpp"
#include "type_names.hpp"

namespace perilune {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool continues(unsigned char byte) noexcept { return (byte & 0xC0) == 0x80; }

// What stands for itself, by the byte; in the second table inside quotes.
constexpr std::array<std::array<bool, 256>, 2> plain = [] {
  std::array<std::array<bool, 256>, 2> table{};
  for (unsigned byte = 0x20; byte < 0x80; ++byte) {
    table[0][byte] = true;
    table[1][byte] = byte != '"' && byte != '\\';
  }
  return table;
}();

// The first bytes of a key, so that greater keys have no smaller ones.
std::uint64_t beginning(std::string_view key) noexcept {
  std::uint64_t first = 0;
  for (std::size_t i = 0; i < sizeof first; ++i)
    first = first << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0U);
  return first;
}

void append_escaped(std::string& out, unsigned char byte) {
  constexpr const char* names = "btn?fr";
  out += '\\';
  if (byte == '"' || byte == '\\') {
    out += static_cast<char>(byte);
  } else if (byte >= '\b' && byte <= '\r' && byte != '\v') {
    out += names[byte - '\b'];
  } else {
    char code[8];
    std::snprintf(code, sizeof code, "u%04x", byte);
    out += code;
  }
}

bool is_name(std::string_view text) noexcept {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || text.size() > 40 || !letter(text[0])) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  const unsigned char lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < lowest || at(1) > highest) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (!continues(at(i))) return 0;
  return length;
}

bool append_escaped_text(std::string& out, std::string_view text, bool quoted, bool strict) {
  while (!text.empty()) {
    std::size_t run = 0;
    while (run < text.size() && plain[quoted][static_cast<unsigned char>(text[run])]) ++run;
    out.append(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) break;
    std::size_t taken = 1;
    if (const auto byte = static_cast<unsigned char>(text[0]); byte < 0x80) {
      append_escaped(out, byte);
    } else if ((taken = utf8_length(text)) != 0) {
      out.append(text.substr(0, taken));
    } else if (strict) {
      return false;
    } else {
      out.append(replacement);
      taken = 1;
    }
    text.remove_prefix(taken);
  }
  return true;
}

bool append_json_string(std::string& out, std::string_view text, bool strict) {
  out += '"';
  if (!append_escaped_text(out, text, true, strict)) return false;
  out += '"';
  return true;
}

void append_json_integer(std::string& out, lua_Integer value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void append_json_number(std::string& out, double value) {
  char digits[40];
  const char* end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  const std::string_view text(digits, static_cast<std::size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

json_writer::json_writer(lua_State* thread, std::string& out, const json_layout& layout)
    : L(thread), out_(out), layout_(layout) {
  push_type(L, type_name::json_list);
  list_type_ = lua_topointer(L, -1);
  lua_pop(L, 1);
}

bool json_writer::write(int index) {
  const int top = lua_gettop(L);
  lua_pushvalue(L, index);
  const bool written = write_top();
  lua_settop(L, top);
  return written;
}

bool json_writer::write_top() {
  switch (lua_type(L, -1)) {
    case LUA_TNIL:
      return out_ += "null", true;
    case LUA_TBOOLEAN:
      return out_ += lua_toboolean(L, -1) ? "true" : "false", true;
    case LUA_TNUMBER:
      return write_number();
    case LUA_TSTRING: {
      std::size_t size = 0;
      const char* text = lua_tolstring(L, -1, &size);
      return append_json_string(out_, {text, size}, !layout_.lenient) || refuse("a string that is no UTF-8");
    }
    case LUA_TTABLE:
      return write_table();
    default:
      if (to_object<json_null>(L, -1)) return out_ += "null", true;
      return write_other(luaL_typename(L, -1));
  }
}

bool json_writer::write_number() {
  if (lua_isinteger(L, -1)) return append_json_integer(out_, lua_tointeger(L, -1)), true;
  const double value = lua_tonumber(L, -1);
  if (std::isfinite(value)) return append_json_number(out_, value), true;
  const char* shown = std::isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  if (!layout_.lenient) return refuse(shown);
  return append_json_string(out_, shown, false);
}

bool json_writer::write_other(const char* what) {
  if (layout_.lenient) return append_json_string(out_, std::string("<") + what + ">", false);
  return refuse((std::string("a ") + what).c_str());
}

bool json_writer::write_table() {
  const void* table = lua_topointer(L, -1);
  const auto same = [table](const step& s) { return s.table == table; };
  if (std::any_of(steps_.begin(), steps_.end(), same))
    return layout_.lenient ? append_json_string(out_, "<cycle>", false) : refuse("a table that contains itself");
  if (steps_.size() == json_depth || !lua_checkstack(L, 6))
    return layout_.lenient ? append_json_string(out_, "<too deep>", false)
                           : refuse("nested more than 1000 tables deep");
  lua_Integer length = 0;
  const shape form = shape_of(length);
  if (form == shape::refused) return false;
  steps_.push_back({table, nullptr, 0, 0});
  if (form == shape::list ? !write_list(length) : !write_object()) return false;
  steps_.pop_back();
  return true;
}

bool json_writer::is_marked() {
  if (!lua_getmetatable(L, -1)) return false;
  const bool marked = lua_topointer(L, -1) == list_type_;
  lua_pop(L, 1);
  return marked;
}

// A table is a list when its keys are 1 to n, an object when all are strings. An empty one is a list when marked.
json_writer::shape json_writer::shape_of(lua_Integer& length) {
  length = static_cast<lua_Integer>(lua_rawlen(L, -1));
  const bool marked = is_marked();
  if (length == 0 && !marked) return shape::object;
  lua_Integer items = 0;
  const char* stranger = nullptr;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= length) {
      ++items;
      continue;
    }
    stranger = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
    lua_pop(L, 2);
    break;
  }
  if (!stranger && items == length) return shape::list;
  if (layout_.lenient) return shape::object;
  if (!stranger || length == 0) {
    refuse("a list with holes or other keys than 1, 2, 3, ...; json.null can stand for a missing item");
  } else {
    const std::string key = std::string(stranger).substr(0, 40);
    refuse(("a table with list items and the key '" + key + "', neither list nor object").c_str());
  }
  return shape::refused;
}

bool json_writer::write_list(lua_Integer length) {
  const std::size_t begin = out_.size();
  for (lua_Integer i = 1; i <= length; ++i) {
    separate();
    steps_.back().item = i;
    lua_rawgeti(L, -1, i);
    if (!write_top()) return false;
    lua_pop(L, 1);
  }
  close(begin, '[', ']');
  return true;
}

// Writes the key below the value on top.
bool json_writer::write_key(std::string_view& key) {
  step& at = steps_.back();
  if (lua_type(L, -2) == LUA_TSTRING) {
    at.name = lua_tolstring(L, -2, &at.name_size);
    key = {at.name, at.name_size};
    if (append_json_string(out_, key, !layout_.lenient)) return true;
    steps_.pop_back();
    return refuse("a table with a key that is no UTF-8");
  }
  if (layout_.lenient) {
    key = "";
    if (lua_isinteger(L, -2)) {
      out_ += '"';
      append_json_integer(out_, lua_tointeger(L, -2));
      out_ += '"';
      return true;
    }
    return append_json_string(out_, std::string("<") + luaL_typename(L, -2) + ">", false);
  }
  const bool number = lua_type(L, -2) == LUA_TNUMBER;
  const std::string what = std::string("a table with a key that is a ") + luaL_typename(L, -2) +
                           (number ? ", yet no list; use tostring(key)" : ", not a string");
  steps_.pop_back();
  return refuse(what.c_str());
}

bool json_writer::write_object() {
  const std::size_t begin = out_.size();
  const std::size_t first = members_.size();
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const std::size_t from = out_.size();
    separate();
    std::string_view key;
    if (!write_key(key)) return false;
    out_ += ':';
    if (layout_.pretty) out_ += ' ';
    if (!write_top()) return false;
    if (layout_.sorted) members_.push_back({beginning(key), key, from, out_.size()});
  }
  sort_members(first);
  members_.resize(first);
  close(begin, '{', '}');
  return true;
}

void json_writer::sort_members(std::size_t first) {
  const auto from = members_.begin() + static_cast<std::ptrdiff_t>(first);
  const auto by_key = [](const member& a, const member& b) {
    if (a.beginning != b.beginning) return a.beginning < b.beginning;
    return a.key != b.key ? a.key < b.key : a.begin < b.begin;
  };
  if (std::is_sorted(from, members_.end(), by_key)) return;
  const std::size_t begin = from->begin;
  std::sort(from, members_.end(), by_key);
  sorting_.clear();
  for (auto m = from; m != members_.end(); ++m) sorting_.append(out_, m->begin, m->end - m->begin);
  out_.replace(begin, std::string::npos, sorting_);
}

// The comma and the new line in front of an item or a member.
void json_writer::separate() {
  out_ += ',';
  if (!layout_.pretty) return;
  out_ += '\n';
  for (std::size_t i = 0; i < steps_.size(); ++i) out_.append(layout_.indent, layout_.indent_size);
}

void json_writer::close(std::size_t begin, char open, char shut) {
  if (out_.size() == begin) {
    out_ += open;
  } else {
    out_[begin] = open;
    if (layout_.pretty) {
      out_ += '\n';
      for (std::size_t i = 1; i < steps_.size(); ++i) out_.append(layout_.indent, layout_.indent_size);
    }
  }
  out_ += shut;
}

bool json_writer::refuse(const char* what) {
  problem_ = "value";
  append_path();
  problem_ += " is ";
  problem_ += what;
  return false;
}

void json_writer::append_path() {
  constexpr std::size_t shown = 12;
  const std::size_t skipped = steps_.size() > 2 * shown ? steps_.size() - 2 * shown : 0;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (skipped && i == shown) {
      problem_ += "...";
      i += skipped;
    }
    const step& at = steps_[i];
    if (!at.name) {
      problem_ += '[' + std::to_string(at.item) + ']';
    } else if (const std::string_view name(at.name, at.name_size); is_name(name)) {
      problem_.append(".").append(name);
    } else {
      problem_ += '[';
      append_json_string(problem_, name.substr(0, 40), false);
      problem_ += ']';
    }
  }
}

}  // namespace perilune
