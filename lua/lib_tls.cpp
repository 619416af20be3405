// The native half of perilune.tls: contexts, and sessions that shake hands in scripts/perilune/tls.lua, where what scripts pass is
// checked, and are then put on a stream.
#include <memory>
#include <string>

#include "lua_stream.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "scratch.hpp"
#include "tls_session.hpp"

namespace perilune {

namespace {

constexpr type_name context_type{-1011}, session_type{-1012};

struct lua_tls_context {
  static constexpr std::uint64_t tag = 0x746c7363'e8f15a07ULL;
  std::shared_ptr<const tls::context> made{};
};

struct lua_tls_session {
  static constexpr std::uint64_t tag = 0x746c7373'48b63d91ULL;
  std::shared_ptr<tls::session> made{};
};

std::string text_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return text ? std::string(text, size) : std::string();
}

bool make_context(lua_State* L, vm& v, lua_tls_context& into) {
  tls::options how{.ca_file = text_at(L, 3),
                   .cert_file = text_at(L, 4),
                   .key_file = text_at(L, 5),
                   .alpn = {},
                   .server = lua_toboolean(L, 1) != 0,
                   .verify = lua_toboolean(L, 2) != 0};
  const int last = lua_absindex(L, -2);
  for (int at = 6; at <= last; ++at) how.alpn.push_back(text_at(L, at));
  auto made = tls::context::make(std::move(how));
  if (made)
    into.made = *std::move(made);
  else
    v.problem = std::move(made).error();
  return into.made != nullptr;
}

// context(server, verify, ca_file, cert_file, key_file, protocols of ALPN...)
reply context_body(lua_State* L, vm& v) {
  if (lua_gettop(L) < 5) lua_settop(L, 5);
  auto& into = push_object<lua_tls_context>(L, context_type, 0);
  return make_context(L, v, into) ? 1 : action::raise_problem;
}

// is_context(value) -> server?, or nil
reply is_context_body(lua_State* L, vm&) {
  const auto* given = to_object<lua_tls_context>(L, 1);
  if (given)
    lua_pushboolean(L, given->made->how().server);
  else
    lua_pushnil(L);
  return 1;
}

// session(context, peer)
reply session_body(lua_State* L, vm&) {
  auto& into = push_object<lua_tls_session>(L, session_type, 0);
  into.made = std::make_shared<tls::session>(object_at<lua_tls_context>(L, 1).made, text_at(L, 2));
  return 1;
}

tls::progress step(lua_State* L, vm& v, tls::session& at) {
  const tls::progress came = at.shake_hands(text_at(L, 2));
  v.message = at.take_output();
  return came;
}

// step(session, bytes) -> what must leave, whether hands were shaken: nil when that failed
reply step_body(lua_State* L, vm& v) {
  const tls::progress came = step(L, v, *object_at<lua_tls_session>(L, 1).made);
  push_scratch(L, v);
  if (came == tls::progress::failed)
    lua_pushnil(L);
  else
    lua_pushboolean(L, came == tls::progress::done);
  return 2;
}

// refuse(session, closed) raises what step failed with; or that the other side has closed the connection.
reply refuse_body(lua_State* L, vm& v) {
  const tls::session& at = *object_at<lua_tls_session>(L, 1).made;
  v.problem = lua_toboolean(L, 2) ? at.ended_early() : at.problem();
  return action::raise_problem;
}

template <std::string (tls::session::*Get)() const>
void set_text(lua_State* L, vm& v, const tls::session& of, const char* name) {
  v.message = (of.*Get)();
  if (v.message.empty()) return;
  push_scratch(L, v);
  lua_setfield(L, -2, name);
}

reply push_info(lua_State* L, vm& v, const tls::session& of) {
  lua_createtable(L, 0, 4);
  set_text<&tls::session::version>(L, v, of, "version");
  set_text<&tls::session::cipher>(L, v, of, "cipher");
  set_text<&tls::session::alpn>(L, v, of, "alpn");
  set_text<&tls::session::subject>(L, v, of, "subject");
  return 1;
}

bool attach(vm& v, const lua_stream& to, std::shared_ptr<tls::session> layer) {
  auto put = put_layer(to.in, to.out, std::move(layer));
  if (!put) v.problem = std::move(put).error();
  return put.ok();
}

// attach(session, stream) -> { version, cipher, alpn, subject }
reply attach_body(lua_State* L, vm& v) {
  const auto& session = object_at<lua_tls_session>(L, 1);
  if (!attach(v, *to_stream(L, 2), session.made)) return action::raise_problem;
  return push_info(L, v, *session.made);
}

// is_stream(value): that can be read and written.
reply is_stream_body(lua_State* L, vm&) {
  const lua_stream* stream = to_stream(L, 1);
  lua_pushboolean(L, stream && stream->in && stream->out);
  return 1;
}

template <class T>
reply collect_object(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

template <class T>
void define(lua_State* L, type_name type, const char* shown) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_object<T>>}};
  define_type(L, type, shown, {}, metamethods);
}

}  // namespace

int open_tls(lua_State* L) {
  open_streams(L);
  define<lua_tls_context>(L, context_type, "perilune.tls_context");
  define<lua_tls_session>(L, session_type, "perilune.tls_session");
  constexpr library_function functions[] = {
      {"context", protect::native<context_body>},     {"is_context", protect::native<is_context_body>},
      {"session", protect::native<session_body>},     {"step", protect::native<step_body>},
      {"refuse", protect::native<refuse_body>},       {"attach", protect::native<attach_body>},
      {"is_stream", protect::native<is_stream_body>},
  };
  lua_createtable(L, 0, 7);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
