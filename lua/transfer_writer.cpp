// Packing what is plain. See transfer_writer.hpp.
#include "transfer_writer.hpp"

#include "vm.hpp"

namespace perilune {

bool parcel_writer::put_plain(lua_State* L, int index) {
  using tag = transfer_tag;
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      return put(tag::nil), true;
    case LUA_TBOOLEAN:
      return put(lua_toboolean(L, index) ? tag::yes : tag::no), true;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        put(tag::integer), put_raw(lua_tointeger(L, index));
      else
        put(tag::number), put_raw(lua_tonumber(L, index));
      return true;
    case LUA_TSTRING: {
      std::size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      put(tag::string);
      put_text({text, size});
      return true;
    }
    default:
      return false;
  }
}

bool is_plain(lua_State* L, int index) noexcept {
  const int type = lua_type(L, index);
  return type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TBOOLEAN || type == LUA_TNIL;
}

bool pack_plain(lua_State* L, int index, parcel& out) {
  constexpr std::size_t beside = 32;
  const std::size_t text = lua_type(L, index) == LUA_TSTRING ? lua_rawlen(L, index) : 0;
  if (!vm_of(L).memory().answer_for(sizeof(parcel) + text + beside, out.share)) return false;
  out.count = 1;
  return parcel_writer(out.bytes).put_plain(L, index);
}

}  // namespace perilune
