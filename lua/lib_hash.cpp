// perilune.hash: 128-bit content hashes (XXH3) of strings and files, as 32 hexadecimal digits. Good to tell contents apart,
// not to keep secrets.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <perilune/blocking.hpp>

#include "fs_call.hpp"
#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text(32, '0');
  for (std::size_t i = 0; i < 16; ++i) {
    text[15 - i] = digits[hash.high64 >> 4 * i & 15];
    text[31 - i] = digits[hash.low64 >> 4 * i & 15];
  }
  return text;
}

// On a thread of the pool, but for what is small. A file of `size` bytes, where that is known, needs no look for more.
result<std::string> hash_file(const std::string& path, std::uintmax_t size = 0) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!from) return error::system("hash " + path, errno);
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(nullptr, XXH3_freeState);
  std::array<char, std::size_t{32} * 1024> block;  // not zeroed: most files are small
  std::uintmax_t total = 0;
  while (true) {
    const ssize_t read_now = ::read(fileno(from.get()), block.data(), block.size());
    if (read_now < 0 && errno == EINTR) continue;
    if (read_now < 0) return error::system("hash " + path, errno);
    const auto got = static_cast<std::size_t>(read_now);
    total += got;
    const bool last = got == 0 || (got < block.size() && total == size);
    if (last && !state) return hexadecimal(XXH3_128bits(block.data(), got));
    if (!state) {
      state.reset(XXH3_createState());
      XXH3_128bits_reset(state.get());
    }
    XXH3_128bits_update(state.get(), block.data(), got);
    if (last) return hexadecimal(XXH3_128bits_digest(state.get()));
  }
}

reply text_body(lua_State* L, vm& v) {
  std::size_t size = 0;
  const char* bytes = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &size) : nullptr;
  if (!bytes) return bad_argument(v, 1, "a string expected", L);
  v.message = hexadecimal(XXH3_128bits(bytes, size));
  lua_pushlstring(L, v.message.data(), v.message.size());
  return 1;
}

// Contents ------------------------------------------------------------------------------------------------------------

namespace files = std::filesystem;

constexpr const char* missing = "missing";
constexpr std::uintmax_t hashed_here = std::uintmax_t{256} * 1024;  // bytes that are not worth a thread of the pool

struct named {
  std::string path;
  struct stat info{};
  bool there = stat(path.c_str(), &info) == 0;
};

// Of a file its bytes and whether it can be executed; of a folder the names and contents below it.
result<std::string> hash_content(const named& what);

result<std::string> hash_folder(const std::string& path) {
  std::error_code ignored;
  std::vector<std::string> lines;
  // A folder that goes meanwhile ends the walk: what is hashed then is told from what is there next time.
  auto at = files::recursive_directory_iterator(path, files::directory_options::skip_permission_denied, ignored);
  for (; at != files::recursive_directory_iterator(); at.increment(ignored)) {
    const auto& entry = *at;
    const std::string name = entry.path().string();
    if (entry.is_directory(ignored) || entry.is_other(ignored)) {
      lines.push_back(name);
      continue;
    }
    auto inner = hash_content({name});
    if (!inner.ok()) return inner;
    lines.push_back(name + "=" + *inner);
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all.append(line).append("\n");
  return hexadecimal(XXH3_128bits(all.data(), all.size()));
}

result<std::string> hash_content(const named& what) {
  if (!what.there) return std::string(missing);
  if (S_ISDIR(what.info.st_mode)) return hash_folder(what.path);
  if (!S_ISREG(what.info.st_mode)) return std::string("special");
  auto hashed = hash_file(what.path, static_cast<std::uintmax_t>(what.info.st_size));
  if (hashed.ok() && (what.info.st_mode & S_IXUSR) != 0) *hashed += "x";
  return hashed;
}

// One hash a line.
result<std::string> hash_contents(const std::vector<named>& all) {
  std::string lines;
  for (const named& one : all) {
    auto hashed = hash_content(one);
    if (!hashed.ok()) return hashed;
    lines.append(*hashed).append("\n");
  }
  return lines;
}

std::vector<named> look_at(const std::vector<std::string>& paths) {
  std::vector<named> all;
  all.reserve(paths.size());
  for (const std::string& path : paths) all.push_back({path});
  return all;
}

bool is_little(const std::vector<named>& all) {
  std::uintmax_t bytes = 0;
  for (const named& one : all) {
    if (one.there && !S_ISREG(one.info.st_mode)) return false;
    if (one.there) bytes += static_cast<std::uintmax_t>(one.info.st_size);
  }
  return bytes <= hashed_here;
}

// The folder that relative paths are below, if any, is the value behind the list.
std::vector<std::string> read_paths(lua_State* L, int list) {
  const char* folder = lua_tostring(L, list + 1);
  const std::string below = folder ? std::string(folder) + "/" : std::string();
  std::vector<std::string> paths;
  const auto length = static_cast<lua_Integer>(lua_rawlen(L, list));
  paths.reserve(static_cast<std::size_t>(length));
  for (lua_Integer i = 1; i <= length; ++i) {
    if (lua_rawgeti(L, list, i) == LUA_TSTRING) {
      const char* path = lua_tostring(L, -1);
      paths.push_back(*path == '/' ? path : below + path);
    }
    lua_pop(L, 1);
  }
  return paths;
}

reply push_lines(lua_State* L, std::string& lines) {
  lua_newtable(L);
  lua_Integer n = 0;
  for (std::size_t at = 0, end = 0; (end = lines.find('\n', at)) != std::string::npos; at = end + 1) {
    lua_pushlstring(L, lines.data() + at, end - at);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

// Leaves the lines in vm::message; false where that is not for this thread to do. An error is in vm::problem.
enum class done { here, elsewhere, failed };
done hash_here(lua_State* L, vm& v) {
  const std::vector<named> all = look_at(read_paths(L, 1));
  if (!is_little(all)) return done::elsewhere;
  auto lines = hash_contents(all);
  if (!lines.ok()) return v.problem = std::move(lines).error(), done::failed;
  v.message = *std::move(lines);
  return done::here;
}

// A reply < 0 refuses; else there are two arguments then.
reply check_paths(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TTABLE) return bad_argument(v, 1, "a list of paths expected", L);
  if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TSTRING) return bad_argument(v, 2, "a folder (string) expected", L);
  lua_settop(L, 2);
  return 0;
}

// contents(paths, [folder]) -> list of hashes, "missing" where there is nothing
reply contents_body(lua_State* L, vm& v) {
  if (const reply refused = check_paths(L, v); refused < 0) return refused;
  const done how = hash_here(L, v);
  if (how == done::failed) return action::raise_problem;
  if (how == done::here) return push_lines(L, v.message);
  const auto make = [L] {
    return blocking_operation<result<std::string>>({.name = "hash.contents", .abandonable = true},
                                                   [paths = read_paths(L, 2)] { return hash_contents(look_at(paths)); });
  };
  return perform_fs(L, v, make, push_lines);
}

// One line for each, which is empty for what is no little file.
std::string hash_little(const std::vector<named>& all) {
  std::string lines;
  for (const named& one : all) {
    const bool little =
        !one.there || (S_ISREG(one.info.st_mode) && static_cast<std::uintmax_t>(one.info.st_size) <= hashed_here);
    if (const auto hashed = little ? hash_content(one) : std::string(); hashed.ok()) lines.append(*hashed);
    lines.append("\n");
  }
  return lines;
}

// ahead_(paths, folder) -> as contents, on a thread of the pool; "" for all but little files
reply ahead_body(lua_State* L, vm& v) {
  if (const reply refused = check_paths(L, v); refused < 0) return refused;
  const auto make = [L] {
    return blocking_operation<result<std::string>>(
        {.name = "hash.ahead", .abandonable = true},
        [paths = read_paths(L, 2)]() -> result<std::string> { return hash_little(look_at(paths)); });
  };
  return perform_fs(L, v, make, push_lines);
}

reply push_hash(lua_State* L, std::string& text) {
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

reply file_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a path expected", L);
  lua_settop(L, 1);
  const auto make = [L] {
    return blocking_operation<result<std::string>>(
        {.name = "hash.file", .abandonable = true},
        [path = std::string(lua_tostring(L, 2))] { return hash_file(path); });
  };
  return perform_fs(L, v, make, push_hash);
}

}  // namespace

int open_hash(lua_State* L) {
  constexpr library_function functions[] = {{"text", protect::native<text_body>},
                                            {"file", protect::native<file_body>},
                                            {"contents", protect::native<contents_body>},
                                            {"ahead_", protect::native<ahead_body>}};
  lua_createtable(L, 0, 4);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
