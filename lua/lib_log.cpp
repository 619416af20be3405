// The native half of perilune.log: makes a record one line and writes it with one call, so that records of several
// programs do not mix. Levels, and the choice between text and JSON, live in scripts/perilune/log.lua.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <vector>

#include <fmt/chrono.h>
#include <poll.h>
#include <unistd.h>

#include "allowance.hpp"
#include "json_text.hpp"
#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

constexpr json_layout field_layout{.lenient = true};
constexpr std::string_view own_names[] = {"time", "level", "task", "task_name", "message"};

struct field {
  std::string name;
  std::string json;
  std::string_view plain;  // of a string: its bytes
  bool is_text;
};

// The time in UTC with milliseconds, as RFC 3339 writes it.
void append_time(std::string& line) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  fmt::format_to(std::back_inserter(line), "{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                 fmt::gmtime(std::chrono::system_clock::to_time_t(second)), (now - second).count());
}

// The string at an index, which must hold one.
std::string_view text_at(lua_State* L, int index) noexcept {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

// The fields of the table at `index`, sorted by name.
std::vector<field> read_fields(lua_State* L, int index) {
  std::vector<field> fields;
  if (!lua_istable(L, index)) return fields;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    field& added = fields.emplace_back();
    if (lua_type(L, -2) == LUA_TSTRING)
      added.name = text_at(L, -2);
    else if (lua_isinteger(L, -2))
      added.name = fmt::to_string(lua_tointeger(L, -2));
    else
      added.name = fmt::format("<{}>", luaL_typename(L, -2));
    added.is_text = lua_type(L, -1) == LUA_TSTRING;
    if (added.is_text) added.plain = text_at(L, -1);
    json_writer(L, added.json, field_layout).write(-1);
  }
  std::sort(fields.begin(), fields.end(), [](const field& a, const field& b) { return a.name < b.name; });
  return fields;
}

bool needs_no_quotes(std::string_view text) noexcept {
  const auto simple = [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\'; };
  return !text.empty() && std::all_of(text.begin(), text.end(), simple);
}

// 2026-01-31T12:00:00.000Z INFO  [7 fetch] message name=value
void append_as_text(std::string& line, std::string_view level, const lua_task* task, std::string_view message,
                    const std::vector<field>& fields) {
  std::string capitals;
  for (const char c : level) capitals += static_cast<char>(c - 'a' + 'A');
  append_time(line);
  fmt::format_to(std::back_inserter(line), " {:<5} ", capitals);
  if (task) {
    fmt::format_to(std::back_inserter(line), "[{}", task->id);
    if (task->name) append_escaped_text(line += ' ', task->name, false, false);
    line += "] ";
  }
  append_escaped_text(line, message, false, false);
  for (const field& f : fields) {
    append_escaped_text(line += ' ', f.name, false, false);
    line += '=';
    line += f.is_text && needs_no_quotes(f.plain) ? f.plain : std::string_view(f.json);
  }
}

void append_as_json(std::string& line, std::string_view level, const lua_task* task, std::string_view message,
                    const std::vector<field>& fields) {
  append_time(line += "{\"time\":\"");
  append_json_string(line += "\",\"level\":", level, false);
  if (task) {
    fmt::format_to(std::back_inserter(line), ",\"task\":{}", task->id);
    if (task->name) append_json_string(line += ",\"task_name\":", task->name, false);
  }
  append_json_string(line += ",\"message\":", message, false);
  for (const field& f : fields) {
    const bool taken = std::find(std::begin(own_names), std::end(own_names), f.name) != std::end(own_names);
    append_json_string(line += ',', taken ? f.name + "_" : f.name, false);
    line += ':' + f.json;
  }
  line += '}';
}

// Writes the whole line, also where standard error does not block. What cannot be written is lost.
void write_line(std::string_view line) noexcept {
  while (!line.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    if (written >= 0) {
      line.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd ready{STDERR_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

// write(level, message, fields or nil, as_json, returned) -> the line where it is to be returned, else it is written.
// The strings are strings.
reply write_body(lua_State* L, vm& v) {
  const lua_task* task = v.in_task() ? &v.running() : nullptr;
  const std::vector<field> fields = read_fields(L, 3);
  std::string line;
  (lua_toboolean(L, 4) ? append_as_json : append_as_text)(line, text_at(L, 1), task, text_at(L, 2), fields);
  if (lua_toboolean(L, 5)) {
    lua_pushlstring(L, line.data(), line.size());
    return 1;
  }
  if (!count_output(v, line.size() + 1)) return action::raise_cancel;
  if (const auto& log = v.options().log) {
    log({text_at(L, 1), text_at(L, 2), line, task ? task->id : 0, task && task->name ? task->name : ""});
    return 0;
  }
  line += '\n';
  write_line(line);
  return 0;
}

}  // namespace

int open_log(lua_State* L) {
  lua_pushcfunction(L, protect::native<write_body>);
  return 1;
}

}  // namespace perilune
