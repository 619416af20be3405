// Feeds a pattern, a subject and a replacement to the bounded find, match, gmatch and gsub, and to Lua's own: what they give,
// or say, must be the same. libFuzzer; one VM for all inputs.
//
// The first two bytes say how long pattern and subject are. Patterns have few repetitions, so that Lua's own end.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <lua.hpp>

#include "lua_host.hpp"

#include "bounded.hpp"

namespace {

struct input {
  std::string_view pattern;
  std::string_view subject;
  std::string_view replacement;
};

constexpr const char* compare = R"lua(
local ours, pattern, subject, replacement = ...
local function shown(ok, ...)
  local text = tostring(ok)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    text = text .. "|" .. (ok and tostring(value) or tostring(value):gsub("^[^\n]-:%d+: ", ""))
  end
  return text
end
local function each(lib)
  local text = ""
  for a, b in lib.gmatch(subject, pattern) do text = text .. "|" .. tostring(a) .. tostring(b) end
  return text
end
for _, name in ipairs { "find", "match", "gsub" } do
  local a = shown(pcall(ours[name], subject, pattern, name == "gsub" and replacement or nil))
  local b = shown(pcall(string[name], subject, pattern, name == "gsub" and replacement or nil))
  if a ~= b then error(("%s(%q, %q): %q, not %q"):format(name, subject, pattern, a, b), 0) end
end
if shown(pcall(each, ours)) ~= shown(pcall(each, string)) then error(("gmatch(%q, %q)"):format(subject, pattern), 0) end
)lua";

int check(lua_State* L) {
  const input given = *static_cast<input*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  if (luaL_loadstring(L, compare) != LUA_OK) return 0;
  lua_newtable(L);
  perilune::bound_patterns(L);
  for (const std::string_view text : {given.pattern, given.subject, given.replacement})
    lua_pushlstring(L, text.data(), text.size());
  lua_call(L, 4, 0);
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t most_repetitions = 4;
  static perilune::lua_host host;
  if (size < 2) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  input given;
  given.pattern = rest.substr(0, data[0] % 32);
  rest.remove_prefix(given.pattern.size());
  given.subject = rest.substr(0, data[1] % 32);
  given.replacement = rest.substr(given.subject.size()).substr(0, 16);
  const auto repeats = [](char c) { return c == '*' || c == '+' || c == '-' || c == '?'; };
  if (std::count_if(given.pattern.begin(), given.pattern.end(), repeats) >
      static_cast<std::ptrdiff_t>(most_repetitions))
    return 0;
  std::string problem;
  if (perilune::protect::call_outside(host.machine().main(), check, &given, &problem)) return 0;
  std::fprintf(stderr, "broken: %s\n", problem.c_str());
  std::abort();
}
