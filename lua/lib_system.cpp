// The native half of perilune.env and of the runner: the environment, the folder and the title of this program, a lock on a file that
// the system drops with the process, so that none is ever stale, the machine's load, memory that will be needed, and what is known of a
// terminal.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "library.hpp"
#include "native_modules.hpp"
#include "process_title.hpp"

extern char** environ;

namespace perilune {

namespace {

// environment() -> { name = value }
reply environment_body(lua_State* L, vm&) {
  lua_newtable(L);
  for (char** entry = environ; *entry; ++entry) {
    const char* equals = std::strchr(*entry, '=');
    if (!equals) continue;
    lua_pushlstring(L, *entry, static_cast<std::size_t>(equals - *entry));
    lua_pushstring(L, equals + 1);
    lua_rawset(L, -3);
  }
  return 1;
}

// lock(path) -> descriptor, or false where another process holds it. The file is made where there is none, and says who has it.
reply lock_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a path expected", L);
  const char* path = lua_tostring(L, 1);
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return raise_error(v, error::system(std::string("lock ") + path, errno));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
    const std::string holder = std::to_string(getpid()) + "\n";
    static_cast<void>(!ftruncate(fd, 0));
    static_cast<void>(!write(fd, holder.data(), holder.size()));
    lua_pushinteger(L, fd);
    return 1;
  }
  const int why = errno;
  close(fd);
  if (why != EWOULDBLOCK) return raise_error(v, error::system(std::string("lock ") + path, why));
  lua_pushboolean(L, 0);
  return 1;
}

reply unlock_body(lua_State* L, vm&) {
  close(static_cast<int>(lua_tointeger(L, 1)));
  return 0;
}

// is_terminal(descriptor)
reply is_terminal_body(lua_State* L, vm&) {
  lua_pushboolean(L, isatty(static_cast<int>(lua_tointeger(L, 1))));
  return 1;
}

// terminal_size(descriptor) -> columns, rows; nothing where it is no terminal, or one that does not know.
reply terminal_size_body(lua_State* L, vm&) {
  winsize size{};
  if (ioctl(static_cast<int>(lua_tointeger(L, 1)), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  lua_pushinteger(L, size.ws_col);
  lua_pushinteger(L, size.ws_row);
  return 2;
}

// load() -> processes that want to run, on average over the last minute
reply load_body(lua_State* L, vm&) {
  double average = 0;
  lua_pushnumber(L, getloadavg(&average, 1) == 1 ? average : 0);
  return 1;
}

// change_directory(path): of the whole program.
reply change_directory_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a path expected", L);
  if (chdir(lua_tostring(L, 1)) != 0) return raise_error(v, error::system(lua_tostring(L, 1), errno));
  return 0;
}

// title() -> list of the words that the system shows as the command line
reply title_body(lua_State* L, vm&) {
  lua_newtable(L);
  lua_Integer place = 0;
  for (const std::string& word : process_title::words()) {
    lua_pushlstring(L, word.data(), word.size());
    lua_rawseti(L, -2, ++place);
  }
  return 1;
}

// set_title(list)
reply set_title_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TTABLE) return bad_argument(v, 1, "a list of words expected", L);
  std::vector<std::string> words(lua_rawlen(L, 1));
  for (std::size_t i = 0; i < words.size(); ++i) {
    lua_rawgeti(L, 1, static_cast<lua_Integer>(i) + 1);
    std::size_t length = 0;
    const char* word = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : nullptr;
    if (word) words[i].assign(word, length);
    lua_pop(L, 1);
  }
  process_title::show(words);
  return 0;
}

// expect_memory(bytes): so much will soon be taken from the system's allocator, in small pieces. It is got here at once and stays with
// the allocator, in large pages: to get it page by page costs more than what is put into it. The whole process is told, so this is for
// the program alone.
reply expect_memory_body(lua_State* L, vm&) {
#if defined(__GLIBC__)
  constexpr int most = 32 * 1024 * 1024;  // larger blocks are none of the allocator's heap
  constexpr std::size_t piece = most / 2;
  constexpr std::uintptr_t page = 4096;
  if (!mallopt(M_MMAP_THRESHOLD, most) || !mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max())) return 0;
  std::array<void*, 32> pieces{};
  auto left = static_cast<std::size_t>(std::max(lua_tointeger(L, 1), lua_Integer{0}));
  for (void*& each : pieces) {
    if (left == 0 || !(each = std::malloc(piece))) break;
    const auto begin = (reinterpret_cast<std::uintptr_t>(each) + page - 1) / page * page;
    madvise(reinterpret_cast<void*>(begin), piece - page, MADV_HUGEPAGE);
    left -= std::min(left, piece);
  }
  for (auto each = pieces.rbegin(); each != pieces.rend(); ++each) std::free(*each);
#endif
  return 0;
}

}  // namespace

int open_system(lua_State* L) {
  constexpr library_function functions[] = {{"environment", protect::native<environment_body>},
                                            {"lock", protect::native<lock_body>},
                                            {"unlock", protect::native<unlock_body>},
                                            {"is_terminal", protect::native<is_terminal_body>},
                                            {"terminal_size", protect::native<terminal_size_body>},
                                            {"load", protect::native<load_body>},
                                            {"title", protect::native<title_body>},
                                            {"set_title", protect::native<set_title_body>},
                                            {"expect_memory", protect::native<expect_memory_body>},
                                            {"change_directory", protect::native<change_directory_body>}};
  lua_createtable(L, 0, 11);
  set_functions(L, functions);
  lua_pushliteral(L, PERILUNE_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}

}  // namespace perilune
