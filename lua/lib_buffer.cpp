// peri.buffer: bytes that can be changed, and that move to another VM without a copy. See lua-api: More cores.
//
// The bytes have one owner at a time: a handle of a VM, or nobody while they are on their way. A handle that is not the owner
// any more is dead, and says so. What is packed and arrives nowhere comes back to the handle that it was packed from. The VM
// of the owner answers for the bytes, and that of the sender while they are on their way.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "library.hpp"
#include "object.hpp"
#include "shared_kinds.hpp"

namespace perilune {

namespace {

struct buffer_bytes {
  std::string bytes;
  std::atomic<const void*> owner{nullptr};
  memory_share share;  // the owner's
};

struct lua_buffer {
  static constexpr std::uint64_t tag = 0x62756666'3ad5c817ULL;
  std::shared_ptr<buffer_bytes> body{};
  // Only a handle's own VM makes it the owner, or takes that away; so whoever sees itself owns the bytes.
  bool owns() const noexcept { return body && body->owner.load(std::memory_order_acquire) == this; }
  // Dead handles elsewhere keep the body, not the bytes.
  ~lua_buffer() {
    if (!owns()) return;
    body->bytes = {};
    body->share = {};
  }
};

// Bytes on their way, until they arrive.
class buffer_crossing final : public crossing {
 public:
  explicit buffer_crossing(const lua_buffer& from) noexcept : body_(from.body), from_(&from) {
    body_->owner.store(nullptr, std::memory_order_release);
  }
  buffer_crossing(const buffer_crossing&) = delete;
  buffer_crossing& operator=(const buffer_crossing&) = delete;
  ~buffer_crossing() override {
    const void* nobody = nullptr;
    if (!arrived_.load(std::memory_order_acquire))
      body_->owner.compare_exchange_strong(nobody, from_, std::memory_order_acq_rel);
  }
  // The first who unpacks it has it; for others it is dead.
  void push(lua_State* L, vm& v) override {
    auto& made = push_object<lua_buffer>(L, type_name::buffer, 0);
    made.body = body_;
    if (arrived_.exchange(true, std::memory_order_acq_rel)) return;
    try {
      memory_share share;
      v.answer_for(L, body_->share.bytes(), share);
      body_->share = std::move(share);
    } catch (...) {
      arrived_.store(false, std::memory_order_release);
      throw;
    }
    body_->owner.store(&made, std::memory_order_release);
  }

 private:
  const std::shared_ptr<buffer_bytes> body_;
  const lua_buffer* const from_;  // compared only; it may be gone
  std::atomic<bool> arrived_{false};
};

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a buffer expected: call it with ':'", L); }

// The bytes of the buffer at 1, or nullptr, and `refused` says what to return.
std::string* bytes_of(lua_State* L, vm& v, reply& refused) {
  const auto* buffer = to_object<lua_buffer>(L, 1);
  if (buffer && buffer->owns()) return &buffer->body->bytes;
  refused = buffer ? raise_text(v, "the buffer has moved to another VM") : wrong_self(L, v);
  return nullptr;
}

constexpr lua_Integer largest = lua_Integer{1} << 40;

// A position from 1 to the length, negative ones counted from the end. < 0 refuses.
reply read_position(lua_State* L, vm& v, int argument, std::size_t length, std::size_t& at) {
  const lua_Integer size = static_cast<lua_Integer>(length);
  lua_Integer given = lua_isinteger(L, argument) ? lua_tointeger(L, argument) : 0;
  if (given < 0) given += size + 1;
  if (given < 1 || given > size)
    return bad_argument(v, argument, ("a position from 1 to " + std::to_string(length) + " expected").c_str(), L);
  at = static_cast<std::size_t>(given - 1);
  return 0;
}

reply read_byte(lua_State* L, vm& v, int argument, char& byte) {
  const lua_Integer given = lua_isinteger(L, argument) ? lua_tointeger(L, argument) : -1;
  if (given < 0 || given > 255) return bad_argument(v, argument, "a byte from 0 to 255 expected", L);
  byte = static_cast<char>(given);
  return 0;
}

// The part from argument `first` to the next, as string.sub has it.
reply read_range(lua_State* L, vm& v, int first, std::size_t length, std::size_t& begin, std::size_t& end) {
  const lua_Integer size = static_cast<lua_Integer>(length);
  lua_Integer ends[2] = {1, -1};
  for (int i = 0; i < 2; ++i) {
    if (lua_isnoneornil(L, first + i)) continue;
    if (!lua_isinteger(L, first + i)) return bad_argument(v, first + i, "an integer expected", L);
    ends[i] = lua_tointeger(L, first + i);
  }
  if (ends[0] < 0) ends[0] = std::max<lua_Integer>(ends[0] + size + 1, 1);
  if (ends[1] < 0) ends[1] += size + 1;
  begin = static_cast<std::size_t>(std::max<lua_Integer>(ends[0], 1) - 1);
  end = static_cast<std::size_t>(std::clamp<lua_Integer>(ends[1], 0, size));
  begin = std::min(begin, end);
  return 0;
}

reply get_body(lua_State* L, vm& v) {
  reply refused = 0;
  const std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  std::size_t at = 0;
  if ((refused = read_position(L, v, 2, bytes->size(), at)) < 0) return refused;
  lua_pushinteger(L, static_cast<unsigned char>((*bytes)[at]));
  return 1;
}

reply set_body(lua_State* L, vm& v) {
  reply refused = 0;
  std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  std::size_t at = 0;
  char byte = 0;
  if ((refused = read_position(L, v, 2, bytes->size(), at)) < 0) return refused;
  if ((refused = read_byte(L, v, 3, byte)) < 0) return refused;
  (*bytes)[at] = byte;
  return 0;
}

reply sub_body(lua_State* L, vm& v) {
  reply refused = 0;
  const std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  std::size_t begin = 0;
  std::size_t end = 0;
  if ((refused = read_range(L, v, 2, bytes->size(), begin, end)) < 0) return refused;
  lua_pushlstring(L, bytes->data() + begin, end - begin);
  return 1;
}

reply fill_body(lua_State* L, vm& v) {
  reply refused = 0;
  std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  char byte = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  if ((refused = read_byte(L, v, 2, byte)) < 0) return refused;
  if ((refused = read_range(L, v, 3, bytes->size(), begin, end)) < 0) return refused;
  std::fill(bytes->begin() + static_cast<std::ptrdiff_t>(begin), bytes->begin() + static_cast<std::ptrdiff_t>(end),
            byte);
  return lua_settop(L, 1), 1;
}

// The text at an argument: a string, a number, or what another buffer has. < 0 refuses.
reply read_text(lua_State* L, vm& v, int argument, const char*& text, std::size_t& size) {
  if (const auto* other = to_object<lua_buffer>(L, argument)) {
    if (!other->owns()) return raise_text(v, "the buffer has moved to another VM");
    text = other->body->bytes.data();
    size = other->body->bytes.size();
    return 0;
  }
  if (!lua_isstring(L, argument)) return bad_argument(v, argument, "a string or a buffer expected", L);
  text = lua_tolstring(L, argument, &size);
  return 0;
}

// The buffer at 1 is to have so many bytes. Throws bad_alloc when the VM must not answer for them. Finalizers may run.
void grow(lua_State* L, vm& v, std::size_t size) {
  buffer_bytes& body = *object_at<lua_buffer>(L, 1).body;
  if (size <= body.share.bytes()) return;
  const std::size_t doubled = std::max(size, 2 * body.share.bytes());
  if (!v.memory().answer_for(doubled, body.share)) v.answer_for(L, size, body.share);
  body.bytes.reserve(body.share.bytes());
}

// write(at, text): over what is there, and beyond the end.
reply write_body(lua_State* L, vm& v) {
  reply refused = 0;
  std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  const char* text = nullptr;
  std::size_t size = 0;
  const lua_Integer at = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
  const auto length = static_cast<lua_Integer>(bytes->size());
  if (at < 1 || at > length + 1)
    return bad_argument(v, 2, ("a position from 1 to " + std::to_string(length + 1) + " expected").c_str(), L);
  if ((refused = read_text(L, v, 3, text, size)) < 0) return refused;
  grow(L, v, std::max(bytes->size(), static_cast<std::size_t>(at - 1) + size));
  if ((refused = read_text(L, v, 3, text, size)) < 0) return refused;
  const std::string given(text, size);  // it may be this buffer's own
  bytes->replace(static_cast<std::size_t>(at - 1), size, given);
  return lua_settop(L, 1), 1;
}

reply append_body(lua_State* L, vm& v) {
  reply refused = 0;
  std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  for (int i = 2; i <= lua_gettop(L); ++i) {
    const char* text = nullptr;
    std::size_t size = 0;
    if ((refused = read_text(L, v, i, text, size)) < 0) return refused;
    grow(L, v, bytes->size() + size);
    if ((refused = read_text(L, v, i, text, size)) < 0) return refused;
    bytes->append(text, size);
  }
  return lua_settop(L, 1), 1;
}

reply length_body(lua_State* L, vm& v) {
  reply refused = 0;
  const std::string* bytes = bytes_of(L, v, refused);
  if (!bytes) return refused;
  lua_pushinteger(L, static_cast<lua_Integer>(bytes->size()));
  return 1;
}

// The bytes as a string; of a dead handle, that it is one.
reply print_body(lua_State* L, vm& v) {
  const auto* buffer = to_object<lua_buffer>(L, 1);
  if (!buffer) return wrong_self(L, v);
  if (buffer->owns())
    lua_pushlstring(L, buffer->body->bytes.data(), buffer->body->bytes.size());
  else
    lua_pushliteral(L, "buffer (moved)");
  return 1;
}

reply collect_buffer(lua_State* L, vm&) {
  object_at<lua_buffer>(L, 1).~lua_buffer();
  return 0;
}

reply buffer_body(lua_State* L, vm& v) {
  const bool sized = lua_type(L, 1) == LUA_TNUMBER;
  const lua_Integer size = sized && lua_isinteger(L, 1) ? lua_tointeger(L, 1) : -1;
  if (sized ? size < 0 || size > largest : !lua_isnoneornil(L, 1) && lua_type(L, 1) != LUA_TSTRING)
    return bad_argument(v, 1, "a size, a non-negative integer, or a string expected", L);
  auto& made = push_object<lua_buffer>(L, type_name::buffer, 0);
  made.body = std::make_shared<buffer_bytes>();
  std::size_t length = 0;
  const char* text = sized ? nullptr : lua_tolstring(L, 1, &length);
  v.answer_for(L, sizeof(buffer_bytes) + (sized ? static_cast<std::size_t>(size) : length), made.body->share);
  if (sized)
    made.body->bytes.assign(static_cast<std::size_t>(size), '\0');
  else if (text)
    made.body->bytes.assign(text, length);
  made.body->owner.store(&made, std::memory_order_release);
  return 1;
}

}  // namespace

crossing_ptr cross_buffer(lua_State* L, int index) {
  const auto* buffer = to_object<lua_buffer>(L, index);
  return buffer && buffer->owns() ? std::make_shared<buffer_crossing>(*buffer) : nullptr;
}

bool is_moved_buffer(lua_State* L, int index) noexcept {
  const auto* buffer = to_object<lua_buffer>(L, index);
  return buffer && !buffer->owns();
}

void open_buffers(lua_State* L) {
  constexpr library_function functions[] = {{"buffer", protect::native<buffer_body>}};
  set_functions(L, functions);
}

void define_buffer(lua_State* L) {
  constexpr library_function methods[] = {
      {"get", protect::native<get_body>},     {"set", protect::native<set_body>},
      {"sub", protect::native<sub_body>},     {"fill", protect::native<fill_body>},
      {"write", protect::native<write_body>}, {"append", protect::native<append_body>},
      {"len", protect::native<length_body>},
  };
  constexpr library_function metamethods[] = {{"__len", protect::native<length_body>},
                                              {"__tostring", protect::native<print_body>},
                                              {"__gc", protect::native<collect_buffer>}};
  define_type(L, type_name::buffer, "perilune.buffer", methods, metamethods);
}

}  // namespace perilune
