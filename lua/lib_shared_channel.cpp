// peri.shared_channel: as peri.channel, from every VM, with copies of values. See lua-api: More cores.

#include <perilune/shared_channel.hpp>

#include "library.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "scratch.hpp"
#include "shared_kinds.hpp"

namespace perilune {

namespace {

using channel_state = detail::shared_channel_state<parcel>;

// What the handles of all VMs have in common.
class named_channel final : public crossing, public std::enable_shared_from_this<named_channel> {
 public:
  named_channel(std::size_t capacity, std::string_view shown)
      : state(std::make_shared<channel_state>(capacity)), name(shown) {}
  void push(lua_State* L, vm& v) override;
  const std::shared_ptr<channel_state> state;
  const std::string name;
};

struct shared_handle {
  static constexpr std::uint64_t tag = 0x73686368'a94d7e02ULL;
  std::shared_ptr<named_channel> channel{};
};

// The wait of a task, behind the channel on its stack.
class channel_wait final : public channel_state::wait {
 public:
  template <class... Value>
  explicit channel_wait(channel_state& channel, Value&&... value) : wait(channel, std::forward<Value>(value)...) {
    keep();
  }
  // What is not sent is let go at once, and the buffers in it come back.
  void disarm(waiter& by) noexcept override {
    wait::disarm(by);
    value().reset();
  }
};
struct shared_waiting {
  static constexpr std::uint64_t tag = 0x73687774'51c08fe6ULL;
  std::optional<channel_wait> wait{};
  lua_Integer max = 1;  // values to receive
};

channel_state& channel_at(lua_State* L, int at) { return *object_at<shared_handle>(L, at).channel->state; }

// A value on its way: a userdata, so that it is freed whatever happens.
struct held_parcel {
  static constexpr std::uint64_t tag = 0x70617263'0b6e92d3ULL;
  std::optional<parcel> value{};
};

template <class T>
T& push_held(lua_State* L, type_name type) {
  T& made = push_object<T>(L, type, 0);
  return made;
}

reply refuse_parcel(vm& v) { return raise_error(v, {error_kind::transfer, v.message, 0, {}}); }

reply push_value(lua_State* L, vm& v, const parcel& value) { return unpack(L, v, value) ? 1 : refuse_parcel(v); }

// Tries to receive what needs no holder: a number or a boolean, pushed, or a string, which is then in vm::message. Full
// when the first value is another.
channel_status take_plain(lua_State* L, vm& v, int at, bool& is_text) {
  std::optional<parcel> value;
  const channel_status status = channel_at(L, at).try_recv(value, is_plain);
  is_text = value && !push_scalar(L, *value);
  if (is_text) take_text(*value, v.message);
  return status;
}

// Tries to receive into a held parcel, which is pushed.
channel_status take_held(lua_State* L, int at, const parcel*& value) {
  auto& held = push_held<held_parcel>(L, type_name::held_parcel).value;
  const channel_status status = channel_at(L, at).try_recv(held);
  value = held ? &*held : nullptr;
  return status;
}

// Replaces the position behind the channel by what the task waits by: a receiver's, or a sender's with the value.
template <class... Value>
operation& start_waiting(lua_State* L, int at, Value&&... value) {
  auto& made = push_held<shared_waiting>(L, type_name::shared_waiting).wait;
  made.emplace(channel_at(L, at), std::forward<Value>(value)...);
  lua_replace(L, at + 1);
  return *made;
}

channel_wait& wait_at(lua_State* L, int at) { return *object_at<shared_waiting>(L, at + 1).wait; }

struct shared_recv_kind final : operation_kind {
  const char* name() const noexcept override { return "recv"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    const int top = lua_gettop(L);
    bool is_text = false;
    channel_status status = take_plain(L, v, at, is_text);
    if (status == channel_status::done) return is_text ? push_scratch(L, v) : 1;
    if (status == channel_status::full) {
      const parcel* value = nullptr;
      status = take_held(L, at, value);
      if (status == channel_status::done) return push_value(L, v, *value);
      lua_settop(L, top);
    }
    return status == channel_status::closed ? push_closed(L) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override { return start_waiting(L, at); }
  int collect(lua_State* L, vm& v, int at) const override {
    return wait_at(L, at).served() ? push_value(L, v, *wait_at(L, at).value()) : push_closed(L);
  }
};
constexpr shared_recv_kind shared_recv_verb;

// A list of `first` and as many more as are there, `max` at most.
int gather_list(lua_State* L, vm& v, int at, lua_Integer max, const parcel& first) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  const parcel* value = &first;
  for (lua_Integer count = 1;; ++count) {
    if (!unpack(L, v, *value)) return refuse_parcel(v);
    lua_rawseti(L, list, count);
    lua_settop(L, list);
    if (count == max || take_held(L, at, value) != channel_status::done) break;
  }
  lua_settop(L, list);
  return 1;
}

// `max` stands behind the channel, and in the wait that takes its place. An empty list is the end, or what 0 asks for.
struct shared_recv_many_kind final : operation_kind {
  const char* name() const noexcept override { return "recv_many"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    const lua_Integer max = lua_tointeger(L, at + 1);
    if (max == 0) return lua_newtable(L), 1;
    const int top = lua_gettop(L);
    const parcel* value = nullptr;
    const channel_status status = take_held(L, at, value);
    if (status == channel_status::done) return gather_list(L, v, at, max, *value);
    lua_settop(L, top);
    return status == channel_status::closed ? lua_newtable(L), 1 : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    const lua_Integer max = lua_tointeger(L, at + 1);
    operation& made = start_waiting(L, at);
    object_at<shared_waiting>(L, at + 1).max = max;
    return made;
  }
  int collect(lua_State* L, vm& v, int at) const override {
    auto& waited = object_at<shared_waiting>(L, at + 1);
    if (!waited.wait->served()) return lua_newtable(L), 1;
    return gather_list(L, v, at, waited.max, *waited.wait->value());
  }
};
constexpr shared_recv_many_kind shared_recv_many_verb;

// Packs the value behind the channel. Loaded modules on top. A reply < 0 refuses.
reply pack_message(lua_State* L, vm& v, int at, parcel& into) {
  std::string problem;
  if (pack(L, at + 1, 1, {nullptr, "", false}, into, problem)) return 0;
  return raise_error(v, {error_kind::transfer, std::move(problem), 0, {}});
}

// Nothing when the VM is short of memory: what is packed the other way is worth a collection.
std::optional<channel_status> try_send_plain(lua_State* L, int at) {
  parcel value;
  if (!is_plain(L, at + 1) || !pack_plain(L, at + 1, value)) return std::nullopt;
  return channel_at(L, at).try_send(value);
}

int answer_send(lua_State* L, channel_status status) {
  if (status == channel_status::closed) return push_closed(L);
  if (status != channel_status::done) return not_ready;
  lua_pushboolean(L, 1);
  return 1;
}

struct shared_send_kind final : operation_kind {
  const char* name() const noexcept override { return "send"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    if (const auto sent = try_send_plain(L, at)) return answer_send(L, *sent);
    const int top = lua_gettop(L);
    auto& held = push_held<held_parcel>(L, type_name::held_parcel).value;
    parcel& value = held.emplace();
    push_loaded_modules(L);
    const reply refused = pack_message(L, v, at, value);
    const channel_status status = refused < 0 ? channel_status::closed : channel_at(L, at).try_send(value);
    held.reset();  // the buffers in what was not sent come back
    if (refused < 0) return refused;
    lua_settop(L, top);
    return answer_send(L, status);
  }
  operation& arm_target(lua_State* L, vm& v, int at, waiter&) const override {
    const int top = lua_gettop(L);
    parcel& value = push_held<held_parcel>(L, type_name::held_parcel).value.emplace();
    push_loaded_modules(L);
    static_cast<void>(pack_message(L, v, at, value));  // as attempt has, just now
    lua_pop(L, 1);
    operation& made = start_waiting(L, at, std::move(value));
    lua_settop(L, top);
    return made;
  }
  int collect(lua_State* L, vm&, int at) const override {
    if (!wait_at(L, at).served()) return wait_at(L, at).value().reset(), push_closed(L);
    lua_pushboolean(L, 1);
    return 1;
  }
};
constexpr shared_send_kind shared_send_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a shared channel expected: call it with ':'", L); }

// A reply < 0 refuses what send was given.
reply check_send(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  if (lua_isnoneornil(L, 2)) return refuse_nil(v, 2);
  lua_settop(L, 2);
  return 0;
}

reply send_body(lua_State* L, vm& v) {
  if (const reply refused = check_send(L, v); refused < 0) return refused;
  return perform<shared_send_verb>(L, v, send_body);
}

reply recv_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 2);
  return perform<shared_recv_verb>(L, v, recv_body);
}

// A reply < 0 refuses what recv_many was given.
reply check_recv_many(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  if (!lua_isinteger(L, 2) || lua_tointeger(L, 2) < 0)
    return bad_argument(v, 2, "max must be a non-negative integer", L);
  lua_settop(L, 2);
  return 0;
}

reply recv_many_body(lua_State* L, vm& v) {
  if (const reply refused = check_recv_many(L, v); refused < 0) return refused;
  return perform<shared_recv_many_verb>(L, v, recv_many_body);
}

reply recv_many_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_recv_many(L, v); refused < 0) return refused;
  push_operation(L, shared_recv_many_verb, 1, true);
  return 1;
}

reply try_send_body(lua_State* L, vm& v) {
  if (const reply refused = check_send(L, v); refused < 0) return refused;
  return attempt_or(L, v, shared_send_verb, "full");
}

reply try_recv_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  return attempt_or(L, v, shared_recv_verb, "empty");
}

reply send_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_send(L, v); refused < 0) return refused;
  push_operation(L, shared_send_verb, 1, true);
  return 1;
}

reply iter_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  return push_iterator<recv_body>(L);
}

reply close_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  channel_at(L, 1).close();
  return 0;
}

reply length_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  lua_pushinteger(L, static_cast<lua_Integer>(channel_at(L, 1).stats().length));
  return 1;
}

reply stats_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  const channel_stats stats = channel_at(L, 1).stats();
  lua_createtable(L, 0, 8);
  set_count(L, "len", stats.length);
  set_count(L, "capacity", stats.capacity);
  set_count(L, "peak", stats.peak);
  set_count(L, "sends", stats.sends);
  set_count(L, "recvs", stats.recvs);
  set_count(L, "waiting_senders", stats.waiting_senders);
  set_count(L, "waiting_receivers", stats.waiting_receivers);
  set_flag(L, "closed", channel_at(L, 1).closed());
  return 1;
}

// Two handles are equal when their channel is the same.
reply equal_body(lua_State* L, vm&) {
  const auto* a = to_object<shared_handle>(L, 1);
  const auto* b = to_object<shared_handle>(L, 2);
  lua_pushboolean(L, a && b && a->channel == b->channel);
  return 1;
}

reply print_body(lua_State* L, vm& v) {
  if (!to_object<shared_handle>(L, 1)) return wrong_self(L, v);
  channel_state& channel = channel_at(L, 1);
  lua_pushfstring(L, "shared channel: %p (%I of %I%s", static_cast<const void*>(&channel),
                  static_cast<lua_Integer>(channel.stats().length), static_cast<lua_Integer>(channel.capacity()),
                  channel.closed() ? ", closed)" : ")");
  return 1;
}

reply shared_channel_body(lua_State* L, vm& v) {
  const lua_Integer capacity = read_count(L, 1, largest_capacity);
  if (capacity < 0) return bad_argument(v, 1, "capacity must be a non-negative integer", L);
  if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TSTRING) return bad_argument(v, 2, "name must be a string", L);
  std::size_t size = 0;
  const char* name = lua_isnoneornil(L, 2) ? "" : lua_tolstring(L, 2, &size);
  push_held<shared_handle>(L, type_name::shared_channel).channel =
      std::make_shared<named_channel>(static_cast<std::size_t>(capacity), std::string_view(name, size));
  return 1;
}

// __index: the methods (upvalue 1), the capacity and the name.
reply index_body(lua_State* L, vm&) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  const auto* handle = to_object<shared_handle>(L, 1);
  if (!handle) return 1;
  if (name == "capacity")
    lua_pushinteger(L, static_cast<lua_Integer>(handle->channel->state->capacity()));
  else if (name == "name" && !handle->channel->name.empty())
    lua_pushlstring(L, handle->channel->name.data(), handle->channel->name.size());
  return 1;
}

template <class T>
reply collect(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

template <class T>
void define_held(lua_State* L, type_name type, const char* shown) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect<T>>}};
  define_type(L, type, shown, {}, metamethods);
}

void named_channel::push(lua_State* L, vm&) {
  std::shared_ptr<named_channel>& into = push_held<shared_handle>(L, type_name::shared_channel).channel;
  into = shared_from_this();
}

}  // namespace

crossing_ptr cross_shared_channel(lua_State* L, int index) {
  const auto* handle = to_object<shared_handle>(L, index);
  return handle ? handle->channel : nullptr;
}

void open_shared_channels(lua_State* L) {
  constexpr library_function functions[] = {{"shared_channel", protect::native<shared_channel_body>}};
  set_functions(L, functions);
}

void define_shared_channel(lua_State* L) {
  define_held<held_parcel>(L, type_name::held_parcel, "perilune.parcel");
  define_held<shared_waiting>(L, type_name::shared_waiting, "perilune.wait");
  constexpr library_function methods[] = {
      {"send", protect::native<send_body>},
      {"recv", protect::native<recv_body>},
      {"try_send", protect::native<try_send_body>},
      {"try_recv", protect::native<try_recv_body>},
      {"send_op", protect::native<send_op_body>},
      {"recv_op", protect::native<make_operation<shared_recv_verb, shared_handle>>},
      {"recv_many", protect::native<recv_many_body>},
      {"recv_many_op", protect::native<recv_many_op_body>},
      {"iter", protect::native<iter_body>},
      {"close", protect::native<close_body>},
      {"stats", protect::native<stats_body>},
  };
  constexpr library_function metamethods[] = {
      {"__len", protect::native<length_body>},
      {"__close", protect::native<close_body>},
      {"__eq", protect::native<equal_body>},
      {"__tostring", protect::native<print_body>},
      {"__gc", protect::native<collect<shared_handle>>},
  };
  define_type(L, type_name::shared_channel, "perilune.shared_channel", methods, metamethods,
              protect::native<index_body>);
}

}  // namespace perilune
