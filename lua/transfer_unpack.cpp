// Building values in a VM. See transfer.hpp.
//
// What is read may raise, so nothing here has a destructor. Every length and number is checked before it is used.
#include "transfer.hpp"

#include <cstring>
#include <string_view>

#include "error_object.hpp"
#include "library.hpp"
#include "object.hpp"

namespace perilune {

namespace {

using tag = transfer_tag;

class unpacker {
 public:
  // `seen` is the stack index of the table of objects, by number.
  unpacker(lua_State* L, vm& v, const parcel& from, int seen) noexcept
      : L_(L), vm_(v), from_(from), at_(from.bytes.data()), end_(at_ + from.bytes.size()), seen_(seen) {}

  // Pushes the next value. False: the bytes are wrong, or vm::message says what is missing here.
  bool value(unsigned depth = 0);
  const char* missing = nullptr;  // set when something of this name is not here

 private:
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  bool take_byte(unsigned char& byte) noexcept {
    if (at_ == end_) return false;
    byte = static_cast<unsigned char>(*at_++);
    return true;
  }
  bool take_count(std::uint64_t& n) noexcept;
  bool take_text(std::string_view& text) noexcept;
  template <class T>
  bool take_raw(T& value) noexcept {
    if (left() < sizeof value) return false;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return true;
  }
  // Numbers the object on top.
  void remember() {
    lua_pushvalue(L_, -1);
    lua_rawseti(L_, seen_, ++objects_);
  }

  bool plain(tag t);
  bool object(tag t, unsigned depth);
  bool again();
  bool table(unsigned depth);
  bool pairs(unsigned depth, int table);
  bool named(bool member);
  bool function(unsigned depth);
  bool upvalue(int function, int number, unsigned depth);
  bool join(int function, int number);
  bool failure(unsigned depth);
  bool handle();

  static constexpr unsigned deepest = 600;  // more than any limit of pack()

  lua_State* L_;
  vm& vm_;
  const parcel& from_;
  const char* at_;
  const char* end_;
  int seen_;
  lua_Integer objects_ = 0;
};

bool unpacker::take_count(std::uint64_t& n) noexcept {
  n = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    unsigned char byte = 0;
    if (!take_byte(byte)) return false;
    n |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

bool unpacker::take_text(std::string_view& text) noexcept {
  std::uint64_t size = 0;
  if (!take_count(size) || size > left()) return false;
  text = {at_, static_cast<std::size_t>(size)};
  at_ += size;
  return true;
}

bool unpacker::value(unsigned depth) {
  unsigned char byte = 0;
  if (depth > deepest || !take_byte(byte) || byte >= static_cast<unsigned char>(tag::last)) return false;
  protect::need_stack(L_, 8, "too deep a value");
  const tag t = static_cast<tag>(byte);
  return t <= tag::string ? plain(t) : object(t, depth);
}

bool unpacker::plain(tag t) {
  lua_Integer integer = 0;
  lua_Number number = 0;
  std::string_view text;
  switch (t) {
    case tag::integer:
      if (!take_raw(integer)) return false;
      lua_pushinteger(L_, integer);
      return true;
    case tag::number:
      if (!take_raw(number)) return false;
      lua_pushnumber(L_, number);
      return true;
    case tag::string:
      if (!take_text(text)) return false;
      lua_pushlstring(L_, text.data(), text.size());
      return true;
    case tag::nil:
      lua_pushnil(L_);
      return true;
    default:
      lua_pushboolean(L_, t == tag::yes);
      return true;
  }
}

bool unpacker::object(tag t, unsigned depth) {
  switch (t) {
    case tag::table:
      return table(depth);
    case tag::again:
      return again();
    case tag::globals:
      lua_pushglobaltable(L_);
      return true;
    case tag::module:
    case tag::member:
      return named(t == tag::member);
    case tag::function:
      return function(depth);
    case tag::failure:
      return failure(depth);
    case tag::handle:
      return handle();
    default:
      return false;
  }
}

bool unpacker::again() {
  std::uint64_t number = 0;
  if (!take_count(number) || number >= static_cast<std::uint64_t>(objects_)) return false;
  lua_rawgeti(L_, seen_, static_cast<lua_Integer>(number) + 1);
  return true;
}

bool unpacker::table(unsigned depth) {
  unsigned char has_metatable = 0;
  if (!take_byte(has_metatable) || has_metatable > 1) return false;
  lua_newtable(L_);
  const int made = lua_gettop(L_);
  remember();
  if (has_metatable) {
    unsigned char how = 0;
    if (!take_byte(how) ||
        (how != static_cast<unsigned char>(tag::module) && how != static_cast<unsigned char>(tag::member)))
      return false;
    if (!named(how == static_cast<unsigned char>(tag::member)) || !lua_istable(L_, -1)) return false;
  }
  if (!pairs(depth, made)) return false;
  if (has_metatable) lua_setmetatable(L_, made);
  return true;
}

// Fills the table at a stack index, until `end`.
bool unpacker::pairs(unsigned depth, int table) {
  for (;;) {
    if (at_ != end_ && *at_ == static_cast<char>(tag::end)) return ++at_, true;
    if (!value(depth + 1)) return false;
    const bool is_key =
        !lua_isnil(L_, -1) && !(lua_type(L_, -1) == LUA_TNUMBER && lua_tonumber(L_, -1) != lua_tonumber(L_, -1));
    if (!is_key || !value(depth + 1)) return false;
    lua_rawset(L_, table);
  }
}

// A module, which is loaded where that has not happened yet, or what it has under a name.
bool unpacker::named(bool member) {
  std::string_view module;
  std::string_view field;
  if (!take_text(module) || (member && !take_text(field))) return false;
  push_loaded_modules(L_);
  lua_pushlstring(L_, module.data(), module.size());
  lua_pushvalue(L_, -1);
  if (lua_rawget(L_, -3) == LUA_TNIL) {
    bool expected = false;
    for (const std::string& each : from_.modules) expected = expected || each == module;
    if (!expected) return false;
    lua_pop(L_, 1);
    lua_getglobal(L_, "require");
    lua_pushvalue(L_, -2);
    protect::call(L_, 1, 1);
  }
  if (!member) {
    lua_replace(L_, -3);
    lua_pop(L_, 1);
    return true;
  }
  lua_pushlstring(L_, field.data(), field.size());
  if (lua_istable(L_, -2)) {
    lua_pushvalue(L_, -1);
    // A library that is read only is seen through an empty table.
    vm_.trusted() ? lua_rawget(L_, -3) : lua_gettable(L_, -3);
  } else {
    lua_pushnil(L_);
  }
  if (lua_isnil(L_, -1)) {
    missing = lua_pushfstring(L_, "module '%s' has no '%s' here", lua_tostring(L_, -4), lua_tostring(L_, -2));
    return false;
  }
  lua_replace(L_, -5);
  lua_pop(L_, 3);
  return true;
}

bool unpacker::function(unsigned depth) {
  std::uint64_t chunk = 0;
  std::uint64_t count = 0;
  if (!take_count(chunk) || !take_count(count) || chunk >= from_.chunks.size()) return false;
  const std::string& code = from_.chunks[static_cast<std::size_t>(chunk)];
  if (luaL_loadbufferx(L_, code.data(), code.size(), "=?", "b") != LUA_OK) return false;
  const int made = lua_gettop(L_);
  remember();
  lua_Debug info;
  lua_pushvalue(L_, -1);
  lua_getinfo(L_, ">u", &info);
  if (count != info.nups) return false;
  for (int i = 1; i <= info.nups; ++i)
    if (!upvalue(made, i, depth)) return false;
  return true;
}

bool unpacker::upvalue(int function, int number, unsigned depth) {
  if (at_ != end_ && *at_ == static_cast<char>(tag::join)) return ++at_, join(function, number);
  if (!value(depth + 1)) return false;
  lua_setupvalue(L_, function, number);
  return true;
}

bool unpacker::join(int function, int number) {
  std::uint64_t other = 0;
  std::uint64_t which = 0;
  if (!take_count(other) || !take_count(which) || other >= static_cast<std::uint64_t>(objects_)) return false;
  lua_rawgeti(L_, seen_, static_cast<lua_Integer>(other) + 1);
  const bool is_lua = lua_isfunction(L_, -1) && !lua_iscfunction(L_, -1);
  if (!is_lua || which == 0 || which > 255 || !lua_getupvalue(L_, -1, static_cast<int>(which))) return false;
  lua_pop(L_, 1);
  lua_upvaluejoin(L_, function, number, lua_absindex(L_, -1), static_cast<int>(which));
  lua_pop(L_, 1);
  return true;
}

bool unpacker::failure(unsigned depth) {
  unsigned char kind = 0;
  unsigned char during_cancel = 0;
  if (!take_byte(kind) || !take_byte(during_cancel) || kind > static_cast<unsigned char>(error_kind::misuse))
    return false;
  error_object& e = error_object::push_new(L_, vm_, static_cast<error_kind>(kind), false);
  e.during_cancel = during_cancel != 0;
  const int made = lua_gettop(L_);
  remember();
  if (!value(depth + 1)) return false;
  lua_setiuservalue(L_, made, error_object::value);
  std::string_view lost;
  if (!take_text(lost)) return false;
  lua_newtable(L_);
  const int fields = lua_gettop(L_);
  if (!pairs(depth, fields)) return false;
  for (const char* name : {"message", "reason", "traceback"}) {
    const int type = lua_getfield(L_, fields, name);
    if (type != LUA_TNIL && type != LUA_TSTRING) return false;
  }
  if (!lost.empty() && lua_getfield(L_, fields, "message") == LUA_TNIL) {
    lua_pushlstring(L_, lost.data(), lost.size());
    lua_pushfstring(L_, "(a %s value)", lua_tostring(L_, -1));
    lua_setfield(L_, fields, "message");
  }
  lua_settop(L_, fields);
  lua_setiuservalue(L_, made, error_object::fields);
  return true;
}

bool unpacker::handle() {
  std::uint64_t number = 0;
  if (!take_count(number) || number >= from_.handles.size()) return false;
  from_.handles[static_cast<std::size_t>(number)]->push(L_, vm_);
  remember();
  return true;
}

}  // namespace

bool is_plain(const parcel& of) noexcept {
  return of.count == 1 && !of.bytes.empty() && static_cast<tag>(of.bytes[0]) <= tag::string;
}

bool push_scalar(lua_State* L, const parcel& from) noexcept {
  lua_Integer integer = 0;
  lua_Number number = 0;
  const char* at = from.bytes.data();
  switch (static_cast<tag>(*at++)) {
    case tag::integer:
      std::memcpy(&integer, at, sizeof integer);
      lua_pushinteger(L, integer);
      return true;
    case tag::number:
      std::memcpy(&number, at, sizeof number);
      lua_pushnumber(L, number);
      return true;
    case tag::string:
      return false;
    case tag::nil:
      lua_pushnil(L);
      return true;
    default:
      lua_pushboolean(L, from.bytes[0] == static_cast<char>(tag::yes));
      return true;
  }
}

void take_text(parcel& from, std::string& into) {
  std::size_t header = 1;
  while (static_cast<unsigned char>(from.bytes[header]) & 0x80) ++header;
  into = std::move(from.bytes);
  into.erase(0, header + 1);
}

bool unpack(lua_State* L, vm& v, const parcel& from) {
  if (is_plain(from) && unpacker(L, v, from, 0).value()) return true;
  const int top = lua_gettop(L);
  protect::need_stack(L, static_cast<int>(from.count) + 8, "too many values");
  lua_newtable(L);
  unpacker unpacking(L, v, from, top + 1);
  for (std::uint32_t i = 0; i < from.count; ++i) {
    if (unpacking.value()) continue;
    v.message = unpacking.missing ? unpacking.missing : "not a parcel";
    lua_settop(L, top);
    return false;
  }
  lua_remove(L, top + 1);
  return true;
}

}  // namespace perilune
