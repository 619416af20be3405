// Files and folders. Each function makes an operation that carries out one call on the pool of blocking threads and
// yields a result; what went wrong is an error of kind io with its errno, naming call and path ("open /etc/x: No such
// file or directory"). Calls that only look may be abandoned by a cancelled task; calls that change something are
// waited for. Operations: one waiter at a time, see blocking.hpp. Paths are bytes, relative ones to the directory of
// this process. Any worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <perilune/blocking.hpp>
#include <perilune/error.hpp>

namespace perilune::fs {

// A call on a thread of the file pool: yields a result when awaited. See blocking_operation.
template <class T>
using pending = blocking_operation<result<T>>;

// No limit, where one may be given.
inline constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

// What is at a path.
enum class file_type : unsigned char { unknown, file, directory, link, fifo, socket, block_device, char_device };

// "file", "directory", ... Static storage.
const char* to_string(file_type type) noexcept;

// What the system knows of a path.
struct file_status {
  // What it is.
  file_type type = file_type::unknown;
  std::uint64_t size = 0;  // bytes
  double modified = 0;     // seconds since 1970
  double accessed = 0;
  unsigned mode = 0;  // permission bits, 07777
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t links = 0;
  unsigned owner = 0;
  unsigned group = 0;
  std::string target{};  // of a symbolic link that was not followed
};

// One name in a folder.
struct dir_entry {
  // Without the folder, and what it is.
  std::string name{};
  file_type type = file_type::unknown;
};

// How a file is written.
struct write_options {
  // Written beside the file, flushed to the disk and renamed over it: readers see the old text or the new one, whatever
  // happens. The file keeps its mode, and its owner where allowed; a symbolic link stays one. What is no regular file is
  // written in place.
  bool atomic = true;
  bool flush = true;     // to the disk; false leaves that to the system
  unsigned mode = 0666;  // of a new file, before the umask
};

// How a file is copied.
struct copy_options {
  bool recursive = false;  // folders with all they hold
  bool overwrite = true;   // false: EEXIST where the target is there
};

// The whole file. An error of kind limit when it is longer than `limit`.
pending<std::string> read_file(std::string path, std::size_t limit = unlimited);
pending<unit> write_file(std::string path, std::string text, const write_options& options = {});
// In one write to the end of the file, which is made where there is none.
pending<unit> append_file(std::string path, std::string text);

// Of what a link leads to, or with `follow` false of the link itself. Kind io where there is nothing.
pending<file_status> stat(std::string path, bool follow = true);
// Sorted by name, without "." and "..".
pending<std::vector<dir_entry>> list(std::string path);
// Recursive: with all folders above, and no error where it exists already.
pending<unit> make_dir(std::string path, bool recursive = false, unsigned mode = 0777);
// A file, a link, an empty folder; recursive: a folder with all it holds. Never follows a symbolic link.
pending<unit> remove(std::string path, bool recursive = false);
pending<unit> rename(std::string from, std::string to);
// The bytes and the mode of a file; symbolic links inside a copied folder are copied as links.
pending<unit> copy(std::string from, std::string to, const copy_options& options = {});
// A new empty file, or folder, that only this user may open. `folder` empty: TMPDIR, or /tmp.
pending<std::string> temp_file(std::string folder = {}, std::string prefix = "perilune-");
pending<std::string> temp_dir(std::string folder = {}, std::string prefix = "perilune-");
// Absolute, without "." and ".." and symbolic links.
pending<std::string> real_path(std::string path);
pending<std::string> read_link(std::string path);
pending<unit> make_symlink(std::string target, std::string path);
pending<unit> set_mode(std::string path, unsigned mode);

// Which part of a tree is walked.
struct walk_options {
  bool follow_links = false;           // into folders behind symbolic links; never into a loop
  std::size_t max_depth = unlimited;   // 1: only what the root holds
  std::vector<std::string> exclude{};  // patterns of names to leave out, with all below: ".git", "*.o"
  std::size_t batch = 256;             // entries at most in one batch
};

// One path that a walk has come by.
struct walk_entry {
  std::string path{};  // begins with the root as it was given
  file_type type = file_type::unknown;
  std::size_t depth = 0;           // 1 for what the root holds
  std::optional<error> problem{};  // the folder could not be read; the walk goes on behind it
};

namespace detail {
class walk_state;
}

// Waits for the next batch. A batch that was read for a wait that was given up is the next wait's.
class walk_operation final : public operation {
 public:
  walk_operation(std::shared_ptr<detail::walk_state> state, pending<unit> read) noexcept
      : state_(std::move(state)), read_(std::move(read)) {}

  bool try_now(waiter& by) noexcept { return read_.try_now(by); }
  bool try_commit(waiter& by) override { return read_.try_commit(by); }
  void arm(waiter& by) override { read_.arm(by); }
  void disarm(waiter& by) noexcept override { read_.disarm(by); }
  bool give_back(waiter& by) noexcept override { return read_.give_back(by); }
  bool holds(waiter& by) noexcept override { return read_.holds(by); }
  wait_description describe() const noexcept override { return read_.describe(); }
  result<std::vector<walk_entry>> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<walk_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::walk_state> state_;
  pending<unit> read_;
};

// Goes through a folder and all below: parents before what they hold, names in order, depth first. Holds one listing
// for each level of the tree. Folders that cannot be read are entries with a problem; what vanishes meanwhile is left
// out. The error of a batch is that of the root. One wait at a time.
class dir_walker {
 public:
  explicit dir_walker(std::string root, walk_options options = {});
  // Never empty before the end.
  walk_operation next() const;

 private:
  std::shared_ptr<detail::walk_state> state_;
};

// The paths that match, in the order of a walk. `*` and `?` stand for any characters and one character of a name,
// `[a-z]` and `[!a-z]` for one of some, `**` for any number of folders, `\` takes a character as it is. A leading dot
// must be matched by a dot. `**` does not go through symbolic links. A pattern without wildcards yields itself where it
// exists. Relative patterns are looked for below `folder`, and yield relative paths.
pending<std::vector<std::string>> glob(std::string pattern, std::string folder = ".");

// Whether a name matches a pattern of one name: what glob uses between two slashes.
bool name_matches(std::string_view pattern, std::string_view name) noexcept;

}  // namespace perilune::fs
