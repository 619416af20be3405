// Feeds arbitrary bytes to perilune.json: what is accepted must come back the same from its own text, in every layout, and
// what is refused must be refused with a place. libFuzzer; one VM for all inputs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <lua.hpp>

#include "lua_host.hpp"
#include "protect.hpp"
#include "vm.hpp"

namespace {

struct input {
  const std::uint8_t* data;
  std::size_t size;
};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

// Calls json[name] with the `arguments` on top of the stack; leaves two results.
void call(lua_State* L, const char* name, int arguments) {
  lua_getfield(L, 1, name);
  lua_insert(L, -(arguments + 1));
  lua_call(L, arguments, 2);
}

void push_options(lua_State* L, const char* indent, bool sorted) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, indent);
  lua_setfield(L, -2, "indent");
  lua_pushboolean(L, sorted);
  lua_setfield(L, -2, "sort_keys");
}

// Replaces the value at index 2 by its text, read again from the layout of the options on top; index 3 is its plain text.
void check_layout(lua_State* L) {
  lua_pushvalue(L, 2);
  lua_insert(L, -2);
  call(L, "encode", 2);
  lua_pop(L, 1);
  call(L, "decode", 1);
  require(!lua_isnil(L, -2), "its own text is refused");
  lua_pop(L, 1);
  call(L, "encode", 1);
  require(lua_rawequal(L, -2, 3), "its own text reads differently");
  lua_settop(L, 3);
}

void check_refusal(lua_State* L) {
  require(lua_type(L, 3) == LUA_TSTRING, "a refusal without a message");
  int line = 0;
  int column = 0;
  require(std::sscanf(lua_tostring(L, 3), "%d:%d: ", &line, &column) == 2 && line > 0 && column > 0,
          "a refusal without a place");
}

int check(lua_State* L) {
  const input given = *static_cast<input*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perilune.json");
  lua_call(L, 1, 1);
  lua_pushlstring(L, reinterpret_cast<const char*>(given.data), given.size);
  call(L, "decode", 1);
  if (lua_isnil(L, 2)) {
    check_refusal(L);
    return 0;
  }
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  call(L, "encode", 1);
  lua_settop(L, 3);
  push_options(L, "", true);
  check_layout(L);
  push_options(L, "\t", false);
  check_layout(L);
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static perilune::lua_host host;
  input given{data, size};
  std::string problem;
  if (!perilune::protect::call_outside(host.machine().main(), check, &given, &problem)) require(false, problem.c_str());
  return 0;
}
