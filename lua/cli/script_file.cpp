// Reading a script. See script_file.hpp.
#include "script_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <sys/stat.h>

namespace perilune::cli {

namespace {

script_file unreadable(const std::string& problem, int why) {
  script_file file;
  file.problem = why ? problem + ": " + std::strerror(why) : problem;
  file.unreadable = true;
  return file;
}

bool looks_binary(const char* block, std::size_t size) {
  return (size >= 4 && std::memcmp(block, "\x1bLua", 4) == 0) || std::memchr(block, 0, size) != nullptr;
}

// Reads to the end, or only the first block when that is no text. Returns errno, 0 when all is well.
int read_text(std::FILE* from, script_file& into) {
  char block[8192];
  while (const std::size_t got = std::fread(block, 1, sizeof block, from)) {
    if (into.source.empty() && looks_binary(block, got)) {
      into.problem = "it is a binary file, not Lua text";
      return 0;
    }
    into.source.append(block, got);
  }
  return std::ferror(from) ? errno : 0;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A script that is reached through a symbolic link has its modules beside the file that the link names.
std::string module_folder(const std::string& path) {
  struct stat info{};
  if (lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return folder_of(path);
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), std::free);
  return folder_of(real ? real.get() : path);
}

script_file read_stream(std::FILE* from, const std::string& shown) {
  script_file file;
  if (const int why = read_text(from, file)) return unreadable("cannot read " + shown, why);
  if (!file.problem.empty()) file.problem = "cannot run " + shown + ": " + file.problem;
  return file;
}

}  // namespace

script_file read_script(const std::string& path) {
  if (path == "-") {
    script_file file = read_stream(stdin, "standard input");
    file.chunk_name = "=stdin";
    return file;
  }
  if (path.empty()) return unreadable("cannot open a file with an empty name", 0);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!from) return unreadable("cannot open " + path, errno);
  struct stat info{};
  if (fstat(fileno(from.get()), &info) == 0 && S_ISDIR(info.st_mode))
    return unreadable("cannot run " + path + ": it is a directory; give a .lua file", 0);
  script_file file = read_stream(from.get(), path);
  file.chunk_name = "@" + path;
  file.folder = module_folder(path);
  return file;
}

}  // namespace perilune::cli
