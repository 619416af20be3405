// The calls behind perilune::fs, each a plain function that blocks its thread. They touch nothing but the file system
// and what they are given, so any thread may call them.
#pragma once

#include <string>
#include <vector>

#include <sys/stat.h>

#include <perilune/fs.hpp>

#include "unique_fd.hpp"

namespace perilune::fs::calls {

// EINVAL for a path the system would cut short.
std::optional<error> bad_path(const std::string& path);
file_type type_of(mode_t mode) noexcept;
file_type type_of_entry(unsigned char d_type) noexcept;
// Sorted by name. Of an open folder; `path` is for errors.
result<std::vector<dir_entry>> list_open(perilune::detail::unique_fd folder, const std::string& path);
// 0 or errno.
int write_all(int fd, std::string_view bytes) noexcept;

result<std::string> read_file(const std::string& path, std::size_t limit);
result<unit> write_file(const std::string& path, const std::string& text, const write_options& options);
result<unit> append_file(const std::string& path, const std::string& text);
result<file_status> stat(const std::string& path, bool follow);
result<std::vector<dir_entry>> list(const std::string& path);
result<unit> make_dir(const std::string& path, bool recursive, unsigned mode);
result<unit> remove(const std::string& path, bool recursive);
result<unit> copy(const std::string& from, const std::string& to, const copy_options& options);
result<std::string> make_temp(std::string folder, const std::string& prefix, bool directory);
result<std::string> real_path(const std::string& path);
result<std::string> read_link(const std::string& path);

}  // namespace perilune::fs::calls
