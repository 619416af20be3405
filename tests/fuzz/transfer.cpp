// Feeds arbitrary bytes to the reader of parcels, beside real functions and a module's name: whatever they say, values come
// out or are refused, and values that came out can be packed again. libFuzzer; one VM for all inputs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <lua.hpp>

#include "error_object.hpp"
#include "lua_host.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "transfer.hpp"
#include "vm.hpp"

namespace {

using perilune::parcel;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

constexpr const char* functions =
    "local n, t = 0, {} local function up() n = n + 1 return n end return up, function(x) t[#t + 1] = x return up(), "
    "_ENV end";

// Packs the functions above, for their chunks.
int make_chunks(lua_State* L) {
  auto* out = static_cast<parcel*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  luaL_loadstring(L, functions);
  lua_call(L, 0, 2);
  perilune::push_loaded_modules(L);
  std::string problem;
  require(perilune::pack(L, 1, 2, {}, *out, problem), problem.c_str());
  return 0;
}

void pack_again(lua_State* L, int count) {
  parcel copy;
  std::string problem;
  static_cast<void>(perilune::pack(L, 1, count, {}, copy, problem));
}

int check(lua_State* L) {
  const parcel& given = *static_cast<const parcel*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  if (!perilune::unpack(L, perilune::vm_of(L), given)) return 0;
  const int count = lua_gettop(L);
  for (int i = 1; i <= count; ++i) {
    if (perilune::to_object<perilune::error_object>(L, i)) perilune::error_object::push_report(L, i);
    lua_settop(L, count);
  }
  luaL_checkstack(L, LUA_MINSTACK, nullptr);
  perilune::push_loaded_modules(L);
  pack_again(L, count);
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static perilune::lua_host host;
  static const parcel chunks = [] {
    parcel made;
    require(perilune::protect::call_outside(host.machine().main(), make_chunks, &made, nullptr), "no chunks");
    return made;
  }();
  parcel given;
  given.chunks = chunks.chunks;
  given.handles = chunks.handles;
  given.modules = {"string", "perilune.json"};
  given.count = size ? data[0] % 5 : 1;
  if (size) given.bytes.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  // What the VM raises, for want of stack say, is an answer too.
  perilune::protect::call_outside(host.machine().main(), check, &given, nullptr);
  return 0;
}
