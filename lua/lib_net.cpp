// The native half of perilune.net: connecting, listening, datagrams and names. What scripts pass is checked and brought into
// one form in scripts/perilune/net.lua: host, port, and whether the host is a path.
#include <optional>
#include <string>
#include <vector>

#include <perilune/net.hpp>

#include "fs_call.hpp"
#include "lua_stream.hpp"
#include "native_modules.hpp"
#include "operation_object.hpp"

namespace perilune {

namespace {

// The types of a module that is loaded when asked for stand apart from those of the VM.
constexpr type_name connector_type{-1001}, net_listener_type{-1002}, udp_socket_type{-1003};

struct lua_connector {
  static constexpr std::uint64_t tag = 0x636f6e6e'7be0415aULL;
  std::optional<net::connect_operation> op{};
};

// Every wait uses the same operation.
struct lua_net_listener {
  static constexpr std::uint64_t tag = 0x6c697374'90c25f3dULL;
  std::optional<net::listener> open{};
  std::optional<net::accept_operation> accepting{};
};

struct lua_udp {
  static constexpr std::uint64_t tag = 0x75647073'3f6ad8c4ULL;
  std::optional<net::datagram_socket> open{};
  std::optional<net::receive_operation> receiving{};
};

net::endpoint endpoint_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* host = lua_tolstring(L, index, &size);
  return {std::string(host, size), static_cast<std::uint16_t>(lua_tointeger(L, index + 1)),
          lua_toboolean(L, index + 2) != 0};
}

void join(lua_stream& into, net::connection made) {
  into.in = std::move(made.in);
  into.out = std::move(made.out);
  into.here = std::make_unique<net::endpoint>(std::move(made.here));
  into.there = std::make_unique<net::endpoint>(std::move(made.there));
}

template <class T>
bool keep_failure(vm& v, result<T>& got) {
  if (got) return false;
  v.problem = std::move(got).error();
  return true;
}

// Connecting.

bool take_connection(vm& v, lua_connector& from, lua_stream& into) {
  auto made = from.op->take_result();
  if (keep_failure(v, made)) return false;
  join(into, *std::move(made));
  return true;
}

struct connect_kind final : operation_kind {
  const char* name() const noexcept override { return "connect"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return object_at<lua_connector>(L, at).op->try_now(v.running()) ? collect(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return *object_at<lua_connector>(L, at).op;
  }
  int collect(lua_State* L, vm& v, int at) const override {
    lua_stream& made = push_stream(L);
    return take_connection(v, object_at<lua_connector>(L, at), made) ? 1 : action::raise_problem;
  }
};
constexpr connect_kind connect_verb;

void push_connector(lua_State* L) {
  auto& made = push_object<lua_connector>(L, connector_type, 0);
  made.op.emplace(net::connect(endpoint_at(L, 1)));
}

reply connect_again(lua_State* L, vm& v) { return perform<connect_verb>(L, v, connect_again); }

reply connect_body(lua_State* L, vm& v) {
  if (!v.in_task()) return action::raise_unsuspendable;
  lua_settop(L, 3);
  push_connector(L);
  lua_replace(L, 1);
  lua_settop(L, 1);
  return connect_again(L, v);
}

reply connect_op_body(lua_State* L, vm& v) {
  if (!v.in_task()) return action::raise_unsuspendable;
  lua_settop(L, 3);
  push_connector(L);
  push_operation(L, connect_verb, 4, false);
  return 1;
}

// Listening.

enum class taking : unsigned char { done, closed, failed };

taking take_accepted(vm& v, lua_net_listener& from, lua_stream& into) {
  auto got = from.accepting->take_result();
  if (keep_failure(v, got)) return taking::failed;
  if (!*got) return taking::closed;
  join(into, **std::move(got));
  return taking::done;
}

struct accept_kind final : operation_kind {
  const char* name() const noexcept override { return "accept"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return object_at<lua_net_listener>(L, at).accepting->try_now(v.running()) ? collect(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return *object_at<lua_net_listener>(L, at).accepting;
  }
  int collect(lua_State* L, vm& v, int at) const override {
    lua_stream& made = push_stream(L);
    const taking how = take_accepted(v, object_at<lua_net_listener>(L, at), made);
    if (how == taking::done) return 1;
    return how == taking::failed ? action::raise_problem : push_closed(L);
  }
};
constexpr accept_kind accept_verb;

reply wrong_listener(lua_State* L, vm& v) { return bad_argument(v, 1, "a listener expected: call it with ':'", L); }

reply accept_body(lua_State* L, vm& v) {
  if (!to_object<lua_net_listener>(L, 1)) return wrong_listener(L, v);
  return perform<accept_verb>(L, v, accept_body);
}

reply accept_all_body(lua_State* L, vm& v) {
  if (!to_object<lua_net_listener>(L, 1)) return wrong_listener(L, v);
  return push_iterator<accept_body>(L);
}

bool start_listening(lua_State* L, vm& v, lua_net_listener& into) {
  auto opened = net::listener::listen(endpoint_at(L, 1), static_cast<int>(lua_tointeger(L, 4)));
  if (keep_failure(v, opened)) return false;
  into.open.emplace(*std::move(opened));
  into.accepting.emplace(into.open->accept());
  return true;
}

reply listen_body(lua_State* L, vm& v) {
  if (!v.in_task()) return action::raise_unsuspendable;
  auto& made = push_object<lua_net_listener>(L, net_listener_type, 0);
  return start_listening(L, v, made) ? 1 : action::raise_problem;
}

// Datagrams.

taking take_datagram(vm& v, lua_udp& from, net::endpoint& sender) {
  auto got = from.receiving->take_result();
  if (keep_failure(v, got)) return taking::failed;
  if (!*got) return taking::closed;
  v.message = std::move((**got).bytes);
  sender = std::move((**got).from);
  return taking::done;
}

struct receive_kind final : operation_kind {
  const char* name() const noexcept override { return "recv"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return object_at<lua_udp>(L, at).receiving->try_now(v.running()) ? collect(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return *object_at<lua_udp>(L, at).receiving;
  }
  int collect(lua_State* L, vm& v, int at) const override {
    // The sender's address is numeric, and short.
    char host[64];
    lua_Integer port = 0;
    const taking how = take(v, object_at<lua_udp>(L, at), host, port);
    if (how == taking::failed) return action::raise_problem;
    if (how == taking::closed) return push_closed(L);
    lua_pushlstring(L, v.message.data(), v.message.size());
    lua_pushstring(L, host);
    lua_pushinteger(L, port);
    return 3;
  }

 private:
  static taking take(vm& v, lua_udp& from, char (&host)[64], lua_Integer& port) {
    net::endpoint sender;
    const taking how = take_datagram(v, from, sender);
    host[sender.host.copy(host, sizeof host - 1)] = '\0';
    port = sender.port;
    return how;
  }
};
constexpr receive_kind receive_verb;

reply wrong_udp(lua_State* L, vm& v) { return bad_argument(v, 1, "a UDP socket expected: call it with ':'", L); }

reply receive_body(lua_State* L, vm& v) {
  if (!to_object<lua_udp>(L, 1)) return wrong_udp(L, v);
  return perform<receive_verb>(L, v, receive_body);
}

bool open_udp(lua_State* L, vm& v, lua_udp& into) {
  auto opened = net::datagram_socket::open(endpoint_at(L, 1));
  if (keep_failure(v, opened)) return false;
  into.open.emplace(*std::move(opened));
  into.receiving.emplace(into.open->receive());
  return true;
}

reply udp_body(lua_State* L, vm& v) {
  if (!v.in_task()) return action::raise_unsuspendable;
  auto& made = push_object<lua_udp>(L, udp_socket_type, 0);
  return open_udp(L, v, made) ? 1 : action::raise_problem;
}

// send(socket, bytes, host, port): the host is numeric.
reply send_body(lua_State* L, vm& v) {
  const lua_udp* socket = to_object<lua_udp>(L, 1);
  if (!socket) return wrong_udp(L, v);
  if (!lua_isstring(L, 2)) return bad_argument(v, 2, "a string expected", L);
  if (lua_type(L, 3) != LUA_TSTRING) return bad_argument(v, 3, "the address of a host expected", L);
  if (read_count(L, 4, 65535) < 0) return bad_argument(v, 4, "a port from 0 to 65535 expected", L);
  std::size_t size = 0;
  const char* bytes = lua_tolstring(L, 2, &size);
  auto sent = socket->open->send(std::string(bytes, size), endpoint_at(L, 3));
  if (keep_failure(v, sent)) return action::raise_problem;
  if (!*sent) {
    lua_pushnil(L);
    lua_pushliteral(L, "full");
    return 2;
  }
  lua_pushboolean(L, 1);
  return 1;
}

// What listeners and UDP sockets share.

template <class T>
reply close_body(lua_State* L, vm& v) {
  const T* object = to_object<T>(L, 1);
  if (!object) return bad_argument(v, 1, "a socket expected: call it with ':'", L);
  if (object->open) object->open->close();
  return 0;
}

template <class T>
reply address_body(lua_State* L, vm& v) {
  const T* object = to_object<T>(L, 1);
  if (!object) return bad_argument(v, 1, "a socket expected: call it with ':'", L);
  return push_endpoint(L, object->open->at());
}

template <class T>
reply collect_object(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

// The fields host and port, or path; else a method.
template <class T>
reply index_body(lua_State* L, vm&) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  const T* object = to_object<T>(L, 1);
  if (object && object->open) {
    const net::endpoint& at = object->open->at();
    if (name == (at.local ? "path" : "host")) return lua_pushlstring(L, at.host.data(), at.host.size()), 1;
    if (name == "port" && !at.local) return lua_pushinteger(L, at.port), 1;
  }
  return 1;
}

reply push_addresses(lua_State* L, std::vector<std::string>& addresses) {
  lua_createtable(L, static_cast<int>(addresses.size()), 0);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    lua_pushlstring(L, addresses[i].data(), addresses[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
  return 1;
}

reply resolve_body(lua_State* L, vm& v) {
  lua_settop(L, 1);
  const auto ask = [L] { return net::resolve(lua_tostring(L, 2)); };
  return perform_fs(L, v, ask, push_addresses);
}

// is_numeric(host)
reply numeric_body(lua_State* L, vm&) {
  lua_pushboolean(L, net::is_numeric(lua_tostring(L, 1)));
  return 1;
}

void define_sockets(lua_State* L) {
  constexpr library_function connector_metamethods[] = {{"__gc", protect::native<collect_object<lua_connector>>}};
  define_type(L, connector_type, "perilune.connector", {}, connector_metamethods);
  constexpr library_function listener_methods[] = {
      {"accept", protect::native<accept_body>},
      {"accept_op", protect::native<make_operation<accept_verb, lua_net_listener>>},
      {"iter", protect::native<accept_all_body>},
      {"address", protect::native<address_body<lua_net_listener>>},
      {"close", protect::native<close_body<lua_net_listener>>},
  };
  constexpr library_function listener_metamethods[] = {{"__close", protect::native<close_body<lua_net_listener>>},
                                                       {"__gc", protect::native<collect_object<lua_net_listener>>}};
  define_type(L, net_listener_type, "perilune.net_listener", listener_methods, listener_metamethods,
              protect::native<index_body<lua_net_listener>>);
  constexpr library_function udp_methods[] = {
      {"recv", protect::native<receive_body>},
      {"recv_op", protect::native<make_operation<receive_verb, lua_udp>>},
      {"send", protect::native<send_body>},
      {"address", protect::native<address_body<lua_udp>>},
      {"close", protect::native<close_body<lua_udp>>},
  };
  constexpr library_function udp_metamethods[] = {{"__close", protect::native<close_body<lua_udp>>},
                                                  {"__gc", protect::native<collect_object<lua_udp>>}};
  define_type(L, udp_socket_type, "perilune.udp_socket", udp_methods, udp_metamethods,
              protect::native<index_body<lua_udp>>);
}

}  // namespace

int open_net(lua_State* L) {
  open_streams(L);
  define_fs_call(L);
  define_sockets(L);
  constexpr library_function functions[] = {
      {"connect", protect::native<connect_body>}, {"connect_op", protect::native<connect_op_body>},
      {"listen", protect::native<listen_body>},   {"udp", protect::native<udp_body>},
      {"resolve", protect::native<resolve_body>}, {"is_numeric", protect::native<numeric_body>},
  };
  lua_createtable(L, 0, 6);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
