// Reading JSON through nlohmann's event parser. See json_tape.hpp.
//
// A record is one byte that says what it is, then its content: nothing, 8 bytes of a number, the size of a string and its
// bytes, or the count of what a list or an object contains, whose records follow.
#include "json_tape.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <nlohmann/json.hpp>

#include "json_text.hpp"
#include "protect.hpp"

namespace perilune {

namespace {

enum record : char { null_value, false_value, true_value, integer, number, text, list, object };

constexpr std::size_t presized_at_most = std::size_t{1} << 24;

// The line and column of a byte, as editors count them.
std::string place(std::string_view source, std::size_t offset) {
  const std::string_view before = source.substr(0, std::min(offset, source.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return std::to_string(line) + ':' + std::to_string(column) + ": ";
}

// Where a text that is well-formed so far opens more than json_depth brackets.
std::size_t too_deep_at(std::string_view source) noexcept {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if ((c == '[' || c == '{') && ++depth > json_depth) {
      return i;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return source.size();
}

bool showable(std::string_view read) noexcept {
  return read.size() < 48 &&
         std::all_of(read.begin(), read.end(), [](char c) { return c >= ' ' && c <= '~' && c != '<'; });
}

// What the parser says, without its own codes and without the place, and not longer than a line.
std::string shorten(std::string_view what) {
  if (const auto code = what.find("] "); code != std::string_view::npos) what.remove_prefix(code + 2);
  if (what.rfind("parse error", 0) == 0) {
    const auto reason = what.find(" - ");
    const auto after = reason == std::string_view::npos ? what.find(": ") : reason + 1;
    if (after != std::string_view::npos) what.remove_prefix(after + 2);
  }
  const auto last_read = what.find("; last read");
  if (last_read != std::string_view::npos && !showable(what.substr(last_read))) what = what.substr(0, last_read);
  return std::string(what.substr(0, 160));
}

class event_recorder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit event_recorder(json_tape& tape) : tape_(tape) {}

  bool null() override { return tape_.put_null(), true; }
  bool boolean(bool value) override { return tape_.put_boolean(value), true; }
  bool number_integer(number_integer_t value) override { return tape_.put_integer(value), true; }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(LUA_MAXINTEGER))
      return tape_.put_number(static_cast<double>(value)), true;
    return tape_.put_integer(static_cast<lua_Integer>(value)), true;
  }
  bool number_float(number_float_t value, const string_t&) override { return tape_.put_number(value), true; }
  bool string(string_t& value) override { return tape_.put_text(value), true; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return tape_.open_object(), tape_.depth() <= json_depth; }
  bool key(string_t& value) override { return tape_.put_key(value), true; }
  bool end_object() override { return tape_.close(), true; }
  bool start_array(std::size_t) override { return tape_.open_list(), tape_.depth() <= json_depth; }
  bool end_array() override { return tape_.close(), true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    failed_at = position > 0 ? position - 1 : 0;
    reason = shorten(e.what());
    return false;
  }

  std::size_t failed_at = 0;
  std::string reason;

 private:
  json_tape& tape_;
};

// Builds Lua values from records. Nothing in here has a destructor, so that anything may raise.
struct builder {
  lua_State* L;
  const char* at;
  int null;
  int list_type;

  template <class T>
  T take() noexcept {
    T value;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
  }
  void push_text() {
    const auto size = take<std::uint64_t>();
    const char* bytes = std::exchange(at, at + size);
    lua_pushlstring(L, bytes, size);
  }
  void push_value() {
    switch (static_cast<record>(*at++)) {
      case null_value:
        return lua_pushvalue(L, null);
      case false_value:
        return lua_pushboolean(L, 0);
      case true_value:
        return lua_pushboolean(L, 1);
      case integer:
        return lua_pushinteger(L, take<lua_Integer>());
      case number:
        return lua_pushnumber(L, take<double>());
      case text:
        return push_text();
      case list:
        return push_list(take<std::uint64_t>());
      case object:
        return push_object(take<std::uint64_t>());
    }
  }
  void push_list(std::uint64_t count) {
    protect::need_stack(L, 8, "JSON nested too deep");
    lua_createtable(L, static_cast<int>(std::min<std::uint64_t>(count, presized_at_most)), 0);
    for (std::uint64_t i = 1; i <= count; ++i) {
      push_value();
      lua_rawseti(L, -2, static_cast<lua_Integer>(i));
    }
    lua_pushvalue(L, list_type);
    lua_setmetatable(L, -2);
  }
  void push_object(std::uint64_t count) {
    protect::need_stack(L, 8, "JSON nested too deep");
    lua_createtable(L, 0, static_cast<int>(std::min<std::uint64_t>(count, presized_at_most)));
    for (std::uint64_t i = 0; i < count; ++i) {
      push_text();
      push_value();
      lua_rawset(L, -3);
    }
  }
};

}  // namespace

void json_tape::put(char kind) {
  if (!open_.empty()) ++open_.back().count;
  records_ += kind;
}

template <class T>
void json_tape::put_bytes(T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  records_.append(bytes, sizeof value);
}

void json_tape::put_null() { put(null_value); }
void json_tape::put_boolean(bool value) { put(value ? true_value : false_value); }
void json_tape::put_integer(lua_Integer value) {
  put(integer);
  put_bytes(value);
}
void json_tape::put_number(double value) {
  put(number);
  put_bytes(value);
}
void json_tape::put_text(std::string_view value) {
  put(text);
  put_key(value);
}
void json_tape::put_key(std::string_view name) {
  put_bytes(std::uint64_t{name.size()});
  records_ += name;
}

void json_tape::open(char kind) {
  put(kind);
  open_.push_back({records_.size(), 0});
  put_bytes(std::uint64_t{0});
}
void json_tape::open_list() { open(list); }
void json_tape::open_object() { open(object); }
void json_tape::close() {
  const container done = open_.back();
  open_.pop_back();
  std::memcpy(records_.data() + done.count_at, &done.count, sizeof done.count);
}

bool json_tape::read(std::string_view source) {
  event_recorder events(*this);
  const std::size_t zero = std::min(source.find('\0'), source.size());
  const char* begin = source.data();
  const bool complete = nlohmann::json::sax_parse(begin, begin + zero, &events);
  if (complete && zero == source.size()) return true;
  if (complete) {
    problem_ = place(source, zero) + "unexpected zero byte";
  } else if (events.reason.empty()) {
    const std::size_t depth = json_depth;
    problem_ = place(source, too_deep_at(source)) + "nested more than " + std::to_string(depth) + " deep";
  } else {
    problem_ = place(source, events.failed_at) + events.reason;
  }
  return false;
}

void json_tape::push(lua_State* L, int null, int list_type) const {
  builder build{L, records_.data(), null, list_type};
  build.push_value();
}

void json_tape::clear() noexcept {
  records_ = std::string();
  problem_ = std::string();
  open_ = {};
}

}  // namespace perilune
