// perilune.hash: 128-bit content hashes (XXH3) of strings and files, as 32 hexadecimal digits. Good to tell contents apart,
// not to keep secrets.
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <xxhash.h>

#include <perilune/blocking.hpp>

#include "fs_call.hpp"
#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  std::array<char, 33> text{};
  std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text.data();
}

// On a thread of the pool.
result<std::string> hash_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!from) return error::system("hash " + path, errno);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> block(std::size_t{256} * 1024);
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), from.get()))
    XXH3_128bits_update(state.get(), block.data(), got);
  if (std::ferror(from.get())) return error::system("hash " + path, errno);
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

reply text_body(lua_State* L, vm& v) {
  std::size_t size = 0;
  const char* bytes = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &size) : nullptr;
  if (!bytes) return bad_argument(v, 1, "a string expected", L);
  v.message = hexadecimal(XXH3_128bits(bytes, size));
  lua_pushlstring(L, v.message.data(), v.message.size());
  return 1;
}

reply push_hash(lua_State* L, std::string& text) {
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

reply file_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a path expected", L);
  lua_settop(L, 1);
  const auto make = [L] {
    return blocking_operation<result<std::string>>({.name = "hash.file", .abandonable = true},
                                                   [path = std::string(lua_tostring(L, 2))] { return hash_file(path); });
  };
  return perform_fs(L, v, make, push_hash);
}

}  // namespace

int open_hash(lua_State* L) {
  constexpr library_function functions[] = {{"text", protect::native<text_body>}, {"file", protect::native<file_body>}};
  lua_createtable(L, 0, 2);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
