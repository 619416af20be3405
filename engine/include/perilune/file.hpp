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

// How a file is opened.
struct open_options {
  // What it is opened for.
  bool read = true;
  bool write = false;
  bool append = false;  // every write goes to the end
  bool create = false;  // where there is none
  bool truncate = false;
  unsigned mode = 0666;  // of a new file, before the umask
};

// What a position counts from.
enum class seek_from : unsigned char { start, here, end };

// One read of what an open file has next; see file. What is no regular file (a fifo, a terminal) may keep a read for ever:
// there a cancelled task or a lost select does not wait for it, and the bytes it brings are the next read's.
class [[nodiscard("nothing is read before it is awaited")]] file_read final : public perilune::detail::blocking_wait {
 public:
  file_read(std::shared_ptr<detail::open_file> on, std::size_t at_most);
  file_read(file_read&&) noexcept = default;
  file_read& operator=(file_read&&) = delete;
  ~file_read();

  bool try_now(waiter& by) noexcept { return !given_up_ && blocking_wait::try_now(by); }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter& by) noexcept override;
  result<std::string> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<file_read>(std::move(*this)); }

 private:
  void give_up() noexcept;

  std::shared_ptr<detail::open_file> on_;
  std::size_t at_most_;
  bool given_up_ = false;  // the present call is left to itself; the next use makes another
};

class file {
 public:
  explicit file(std::shared_ptr<detail::open_file> open) noexcept : open_(std::move(open)) {}

  // Empty at the end.
  file_read read(std::size_t at_most = 65536) const { return file_read(open_, at_most); }
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

// Kind io where the file cannot be opened so. Only to be awaited on a worker.
pending<file> open(std::string path, const open_options& options = {});

}  // namespace perilune::fs
