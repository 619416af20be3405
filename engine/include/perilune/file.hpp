// An open file, for reading and writing in pieces. Handles share it and its position; it is closed by close(), or with the
// last handle. What closes it while a call runs on it waits for nothing: the descriptor stays open until that call has
// ended. Any worker; calls of several tasks at once are carried out in no particular order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <perilune/fs.hpp>

namespace perilune::fs {

namespace detail {
class open_file;
}

struct open_options {
  bool read = true;
  bool write = false;
  bool append = false;    // every write goes to the end
  bool create = false;    // where there is none
  bool truncate = false;
  unsigned mode = 0666;   // of a new file, before the umask
};

enum class seek_from : unsigned char { start, here, end };

// Calls on what is no regular file (a fifo, a terminal) may take for ever: there a cancelled task does not wait for its
// read, whose bytes are lost then.
class file {
 public:
  explicit file(std::shared_ptr<detail::open_file> open) noexcept : open_(std::move(open)) {}

  // Empty at the end.
  pending<std::string> read(std::size_t at_most = 65536) const;
  pending<unit> write(std::string text) const;
  // The new position, in bytes from the start.
  pending<std::uint64_t> seek(std::int64_t offset, seek_from from = seek_from::start) const;
  // To the disk.
  pending<unit> flush() const;
  // Later calls fail with EBADF. Idempotent.
  pending<unit> close() const;

 private:
  std::shared_ptr<detail::open_file> open_;
};

pending<file> open(std::string path, const open_options& options = {});

}  // namespace perilune::fs
