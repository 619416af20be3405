// Signal names, as the C library knows them. See signal_names.hpp.
#include "signal_names.hpp"

#include <csignal>
#include <cstring>

namespace perilune {

int signal_number(const char* name) noexcept {
  if (!std::strncmp(name, "SIG", 3)) name += 3;
  for (int number = 1; number < NSIG; ++number) {
    const char* known = sigabbrev_np(number);
    if (known && !std::strcmp(known, name)) return number;
  }
  return 0;
}

void push_signal_name(lua_State* L, int number) {
  if (const char* known = sigabbrev_np(number))
    lua_pushstring(L, known);
  else
    lua_pushfstring(L, "%d", number);
}

}  // namespace perilune
