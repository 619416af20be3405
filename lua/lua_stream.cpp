// Reading and writing streams. See lua_stream.hpp.
//
// An operation of the engine owns its stream and its bytes. A verb that need not wait makes one for the moment; one that
// waits puts it into a userdata on the waiting stack, where its grant finds it.
#include "lua_stream.hpp"

#include <cstring>
#include <optional>

#include "library.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "scratch.hpp"

namespace perilune {

namespace {

constexpr std::size_t some_bytes = 65536;
constexpr lua_Integer largest_need = lua_Integer{1} << 58;

// An operation that a task waits in.
template <class Operation, std::uint64_t Tag>
struct call {
  static constexpr std::uint64_t tag = Tag;
  std::optional<Operation> op;
};
using read_call = call<read_operation, 0x72656164'83b5d017ULL>;
using write_call = call<write_operation, 0x77726974'c4097ae2ULL>;
using flush_call = call<flush_operation, 0x666c7573'390fe85cULL>;

template <class Call>
reply collect_call(lua_State* L, vm&) {
  object_at<Call>(L, 1).~Call();
  return 0;
}

// Puts an empty call at `index`.
template <class Call>
Call& place_call(lua_State* L, int index, type_name type) {
  protect::need_stack(L, 4, "too many operations");
  if (lua_gettop(L) < index) lua_settop(L, index);
  auto& made = push_object<Call>(L, type, 0);
  lua_replace(L, index);
  return made;
}

// Keeps the outcome of a read where it can be pushed from. The reply says what to push.
enum class reading : unsigned char { not_now, bytes, end, failed };

reading keep_bytes(vm& v, read_operation& op) {
  auto piece = op.take_result();
  if (!piece) return v.problem = std::move(piece).error(), reading::failed;
  if (!*piece) return reading::end;
  v.message = **std::move(piece);
  return reading::bytes;
}

reading try_read(vm& v, const lua_stream& stream, const read_need& need) {
  read_operation op = stream.in.read(need);
  return op.try_now(v.running()) ? keep_bytes(v, op) : reading::not_now;
}

int push_reading(lua_State* L, vm& v, reading what) {
  switch (what) {
    case reading::bytes:
      return push_scratch(L, v);
    case reading::end:
      return lua_pushnil(L), 1;
    case reading::failed:
      return action::raise_problem;
    default:
      return not_ready;
  }
}

bool keep_failure(vm& v, result<unit> done) {
  if (done) return true;
  v.problem = std::move(done).error();
  return false;
}

// The resource is the stream; the value is the code of the need, and, in a task that waits, the call.
struct read_kind final : operation_kind {
  const char* name() const noexcept override { return "read"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return push_reading(L, v, try_read(v, *to_stream(L, at), decode_need(lua_tointeger(L, at + 1))));
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    const read_need need = decode_need(lua_tointeger(L, at + 1));
    return place_call<read_call>(L, at + 1, type_name::read_call).op.emplace(to_stream(L, at)->in.read(need));
  }
  int collect(lua_State* L, vm& v, int at) const override {
    return push_reading(L, v, keep_bytes(v, *object_at<read_call>(L, at + 1).op));
  }
};
constexpr read_kind read_verb;

enum class writing : unsigned char { not_now, done, failed };

writing try_write(vm& v, const lua_stream& stream, std::string_view text) {
  write_operation op = stream.out.write(std::string(text));
  if (!op.try_now(v.running())) return writing::not_now;
  return keep_failure(v, op.take_result()) ? writing::done : writing::failed;
}

std::string_view text_at(lua_State* L, int index) noexcept {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

// The value is the text, and, in a task that waits, the call. The result is the stream.
struct write_kind final : operation_kind {
  const char* name() const noexcept override { return "write"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    const writing done = try_write(v, *to_stream(L, at), text_at(L, at + 1));
    if (done == writing::not_now) return not_ready;
    return done == writing::done ? (lua_pushvalue(L, at), 1) : action::raise_problem;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    lua_pushvalue(L, at + 1);
    auto& waiting = place_call<write_call>(L, at + 1, type_name::write_call);
    return waiting.op.emplace(to_stream(L, at)->out.write(std::string(text_at(L, -1))));
  }
  int collect(lua_State* L, vm& v, int at) const override {
    if (!keep_failure(v, object_at<write_call>(L, at + 1).op->take_result())) return action::raise_problem;
    return lua_pushvalue(L, at), 1;
  }
};
constexpr write_kind write_verb;

struct flush_kind final : operation_kind {
  const char* name() const noexcept override { return "flush"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    flush_operation op = to_stream(L, at)->out.flush();
    return op.try_now(v.running()) ? conclude(L, v, at, op) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return place_call<flush_call>(L, at + 1, type_name::flush_call).op.emplace(to_stream(L, at)->out.flush());
  }
  int collect(lua_State* L, vm& v, int at) const override {
    return conclude(L, v, at, *object_at<flush_call>(L, at + 1).op);
  }

 private:
  static int conclude(lua_State* L, vm& v, int at, flush_operation& op) {
    if (!keep_failure(v, op.take_result())) return action::raise_problem;
    return lua_pushvalue(L, at), 1;
  }
};
constexpr flush_kind flush_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a stream expected: call it with ':'", L); }

// A reply < 0 refuses: no stream, or without that end.
reply check_end(lua_State* L, vm& v, bool reads) {
  const lua_stream* stream = to_stream(L, 1);
  if (!stream) return wrong_self(L, v);
  if (reads ? static_cast<bool>(stream->in) : static_cast<bool>(stream->out)) return 0;
  return raise_text(v, reads ? "the stream cannot be read, only written" : "the stream cannot be written, only read");
}

reply read_again(lua_State* L, vm& v) { return perform<read_verb>(L, v, read_again); }

reply read_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, true); refused < 0) return refused;
  lua_settop(L, 3);
  if (const reply refused = push_need(L, v, 2); refused < 0) return refused;
  lua_replace(L, 2);
  lua_settop(L, 2);
  return read_again(L, v);
}

reply read_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, true); refused < 0) return refused;
  if (const reply refused = push_need(L, v, 2); refused < 0) return refused;
  push_operation(L, read_verb, 1, true);
  return 1;
}

// The iterator that `lines` returns has the stream and the code of the need.
reply next_body(lua_State* L, vm& v) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  return read_again(L, v);
}

reply lines_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, true); refused < 0) return refused;
  if (const reply refused = push_need(L, v, 2); refused < 0) return refused;
  if (decode_need(lua_tointeger(L, -1)).mode == read_mode::all)
    return raise_text(v, "bad argument #1 to 'lines' (\"all\" has no pieces; use read)");
  lua_pushvalue(L, 1);
  lua_insert(L, -2);
  lua_pushcclosure(L, protect::native<next_body>, 2);
  return 1;
}

// Joins the arguments from 2 on into one string at 2.
reply join_texts(lua_State* L, vm& v) {
  const int top = lua_gettop(L);
  if (top < 2) return bad_argument(v, 2, "a string expected", L);
  for (int i = 2; i <= top; ++i)
    if (!lua_isstring(L, i)) return bad_argument(v, i, "a string expected", L);
  if (top == 2)
    lua_tolstring(L, 2, nullptr);
  else
    lua_concat(L, top - 1);
  return 0;
}

reply write_again(lua_State* L, vm& v) { return perform<write_verb>(L, v, write_again); }

reply write_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, false); refused < 0) return refused;
  if (const reply refused = join_texts(L, v); refused < 0) return refused;
  return write_again(L, v);
}

reply write_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, false); refused < 0) return refused;
  if (const reply refused = join_texts(L, v); refused < 0) return refused;
  push_operation(L, write_verb, 1, true);
  return 1;
}

reply flush_again(lua_State* L, vm& v) { return perform<flush_verb>(L, v, flush_again); }

reply flush_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, false); refused < 0) return refused;
  lua_settop(L, 2);
  return flush_again(L, v);
}

reply close_body(lua_State* L, vm& v) {
  lua_stream* stream = to_stream(L, 1);
  if (!stream) return wrong_self(L, v);
  close_stream(*stream);
  return 0;
}

// Says that nothing more is written; reading goes on.
reply shutdown_body(lua_State* L, vm& v) {
  if (const reply refused = check_end(L, v, false); refused < 0) return refused;
  to_stream(L, 1)->out.close();
  return 0;
}

template <std::unique_ptr<net::endpoint> lua_stream::* End>
reply endpoint_body(lua_State* L, vm& v) {
  const lua_stream* stream = to_stream(L, 1);
  if (!stream) return wrong_self(L, v);
  if (!(stream->*End)) return raise_text(v, "the stream is no socket");
  return push_endpoint(L, *(stream->*End));
}

reply collect_stream(lua_State* L, vm&) {
  object_at<lua_stream>(L, 1).~lua_stream();
  return 0;
}

template <class Call>
void define_call(lua_State* L, type_name type, const char* shown) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_call<Call>>}};
  define_type(L, type, shown, {}, metamethods);
}

}  // namespace

lua_stream& push_stream(lua_State* L) {
  auto& made = push_object<lua_stream>(L, type_name::stream, 0);
  return made;
}

int push_endpoint(lua_State* L, const net::endpoint& at) {
  lua_pushlstring(L, at.host.data(), at.host.size());
  if (at.local) return 1;
  lua_pushinteger(L, at.port);
  return 2;
}

lua_stream* to_stream(lua_State* L, int index) noexcept { return to_object<lua_stream>(L, index); }

lua_Integer encode_need(const read_need& need) noexcept {
  const bool limited = need.bytes != read_need::unlimited;
  return static_cast<lua_Integer>(need.mode) | (need.keep_newline ? 4 : 0) | (limited ? 8 : 0) |
         (limited ? static_cast<lua_Integer>(need.bytes) << 4 : 0);
}

read_need decode_need(lua_Integer code) noexcept {
  return {.mode = static_cast<read_mode>(code & 3),
          .bytes = code & 8 ? static_cast<std::size_t>(code >> 4) : read_need::unlimited,
          .keep_newline = (code & 4) != 0};
}

namespace {

bool read_name(const char* name, read_need& need) noexcept {
  if (*name == '*') ++name;
  const auto is = [name](const char* a, const char* b) { return !std::strcmp(name, a) || !std::strcmp(name, b); };
  need.keep_newline = !std::strcmp(name, "L");
  if (need.keep_newline || is("line", "l"))
    need.mode = read_mode::line;
  else if (is("all", "a"))
    need.mode = read_mode::all;
  else if (!std::strcmp(name, "some"))
    need = {.mode = read_mode::some, .bytes = some_bytes};
  else
    return false;
  return true;
}

bool read_bytes(lua_State* L, int index, std::size_t& bytes) {
  const lua_Integer count = read_count(L, index, largest_need - 1);
  bytes = static_cast<std::size_t>(count);
  return count >= 0;
}

}  // namespace

reply push_need(lua_State* L, vm& v, int index) {
  read_need need{.mode = read_mode::line};
  if (lua_type(L, index) == LUA_TSTRING ? !read_name(lua_tostring(L, index), need)
                                        : !lua_isnoneornil(L, index) && !read_bytes(L, index, need.bytes))
    return bad_argument(v, index, "a number of bytes, \"line\", \"L\", \"all\" or \"some\" expected", L);
  if (lua_type(L, index) == LUA_TNUMBER) need.mode = read_mode::exactly;
  if (!lua_isnoneornil(L, index + 1)) {
    if (need.mode == read_mode::exactly || !read_bytes(L, index + 1, need.bytes))
      return bad_argument(v, index + 1, "at most so many bytes (a non-negative integer, beside a name) expected", L);
  }
  lua_pushinteger(L, encode_need(need));
  return 0;
}

void close_stream(lua_stream& stream) noexcept {
  if (stream.in) stream.in.close();
  if (stream.out) stream.out.close();
}

void open_streams(lua_State* L) {
  if (has_type(L, type_name::stream)) return;
  constexpr library_function methods[] = {
      {"read", protect::native<read_body>},
      {"read_op", protect::native<read_op_body>},
      {"lines", protect::native<lines_body>},
      {"write", protect::native<write_body>},
      {"flush", protect::native<flush_body>},
      {"write_op", protect::native<write_op_body>},
      {"close", protect::native<close_body>},
      {"shutdown", protect::native<shutdown_body>},
      {"address", protect::native<endpoint_body<&lua_stream::here>>},
      {"peer", protect::native<endpoint_body<&lua_stream::there>>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_stream>}};
  define_type(L, type_name::stream, "perilune.byte_stream", methods, metamethods);
  define_call<read_call>(L, type_name::read_call, "perilune.read");
  define_call<write_call>(L, type_name::write_call, "perilune.write");
  define_call<flush_call>(L, type_name::flush_call, "perilune.flush");
}

}  // namespace perilune
