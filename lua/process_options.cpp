// Reading what perilune.process has checked into the engine's options. See lua_process.hpp.
#include <cstring>
#include <string>

#include "lua_process.hpp"

namespace perilune {

namespace {

std::string text_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

template <class F>
void for_each_item(lua_State* L, int list, F visit) {
  const auto length = static_cast<lua_Integer>(lua_rawlen(L, list));
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(L, list, i);
    visit();
    lua_pop(L, 1);
  }
}

void read_env(lua_State* L, process_options& options) {
  const auto length = static_cast<lua_Integer>(lua_rawlen(L, arg_env));
  for (lua_Integer i = 1; i < length; i += 2) {
    lua_rawgeti(L, arg_env, i);
    lua_rawgeti(L, arg_env, i + 1);
    auto& [name, value] = options.env.emplace_back(text_at(L, -2), std::nullopt);
    if (lua_type(L, -1) == LUA_TSTRING) value = text_at(L, -1);
    lua_pop(L, 2);
  }
}

// Pushes kind and value of a stream.
void push_stream_choice(lua_State* L, int stream) {
  lua_rawgeti(L, arg_streams, 2 * stream + 1);
  lua_rawgeti(L, arg_streams, 2 * stream + 2);
}

stdio read_stdio(lua_State* L, int stream) {
  push_stream_choice(L, stream);
  const std::string kind = text_at(L, -2);
  std::string value = lua_type(L, -1) == LUA_TSTRING ? text_at(L, -1) : std::string();
  lua_pop(L, 2);
  if (kind == "null") return stdio::null();
  if (kind == "pipe") return stdio::pipe();
  if (kind == "text") return stdio::text(std::move(value));
  if (kind == "file") return stdio::file(std::move(value));
  if (kind == "append") return stdio::append(std::move(value));
  if (kind == "output") return stdio::output();
  return stdio::inherit();
}

}  // namespace

bool asks_pipe(lua_State* L, int stream) noexcept {
  push_stream_choice(L, stream);
  const bool pipe = !std::strcmp(lua_tostring(L, -2), "pipe");
  lua_pop(L, 2);
  return pipe;
}

void read_process_options(lua_State* L, process_options& options) {
  for_each_item(L, arg_argv, [&] { options.argv.push_back(text_at(L, -1)); });
  if (lua_type(L, arg_cwd) == LUA_TSTRING) options.cwd = text_at(L, arg_cwd);
  if (lua_istable(L, arg_env)) read_env(L, options);
  options.clear_env = lua_toboolean(L, arg_clear_env) != 0;
  options.in = read_stdio(L, 0);
  options.out = read_stdio(L, 1);
  options.err = read_stdio(L, 2);
  options.grace = from_seconds(lua_tonumber(L, arg_grace));
  options.own_group = lua_toboolean(L, arg_group) != 0;
  options.confirm_start = lua_toboolean(L, arg_confirm) != 0;
  options.kill_on_close = lua_toboolean(L, arg_leave) == 0;
}

}  // namespace perilune
