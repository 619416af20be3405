// Reading a script. See script_file.hpp.
#include "script_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sys/stat.h>

namespace perilune::cli {

namespace {

script_file refuse(std::string problem, bool unreadable) {
  script_file file;
  file.problem = std::move(problem);
  file.unreadable = unreadable;
  return file;
}

bool read_all(std::FILE* from, std::string& into) {
  char block[65536];
  while (const std::size_t got = std::fread(block, 1, sizeof block, from)) into.append(block, got);
  return std::ferror(from) == 0;
}

bool looks_binary(const std::string& source) {
  const std::size_t looked_at = source.size() < 8192 ? source.size() : 8192;
  return source.rfind("\x1bLua", 0) == 0 || std::memchr(source.data(), 0, looked_at) != nullptr;
}

}  // namespace

script_file read_script(const std::string& path) {
  script_file file;
  if (path == "-") {
    if (!read_all(stdin, file.source)) return refuse("cannot read standard input: " + std::string(std::strerror(errno)), true);
    file.chunk_name = "=stdin";
  } else {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return refuse("cannot open " + path + ": " + std::strerror(errno), true);
    if (S_ISDIR(info.st_mode)) return refuse("cannot run " + path + ": it is a directory; give a .lua file", true);
    std::FILE* from = std::fopen(path.c_str(), "rb");
    if (!from) return refuse("cannot open " + path + ": " + std::strerror(errno), true);
    const bool read = read_all(from, file.source);
    const int why = errno;
    std::fclose(from);
    if (!read) return refuse("cannot read " + path + ": " + std::strerror(why), true);
    file.chunk_name = "@" + path;
  }
  if (looks_binary(file.source)) return refuse("cannot run " + path + ": it is a binary file, not Lua text", false);
  return file;
}

}  // namespace perilune::cli
