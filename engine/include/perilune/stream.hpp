// Streams of bytes: what comes from or goes to a pipe, a file or whatever else a resource of the engine reads and writes.
//
// A reader owns a buffer. What was read and not yet taken stays in it, so a read that loses a select or is cancelled
// loses nothing, and readers of any kind may take turns: a line, then ten bytes, then the rest. Reads are served first
// in, first out. A writer commits a write as a whole: once its bytes are the next to go out they are the stream's, and
// they leave in the background; a write that waits holds until fewer than `writer::high_water` bytes are pending.
//
// A handle shares its stream with copies of itself; all stay on the worker where the stream was made. The descriptor is
// closed by close(), or with the last handle.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <perilune/error.hpp>
#include <perilune/task.hpp>

namespace perilune {

namespace detail {
class byte_sink;
class byte_source;
}  // namespace detail

// When a read is done.
enum class read_mode : unsigned char {
  some,     // at least one byte, at most `bytes`
  exactly,  // `bytes` bytes, fewer only at the end
  line,     // up to a newline, or what is left at the end; an error of kind limit where that exceeds `bytes`
  all,      // until the end; an error of kind limit where that exceeds `bytes`
};

// How much a read wants.
struct read_need {
  // Any number of bytes.
  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

  // What is to be read, and what a line keeps.
  read_mode mode = read_mode::some;
  std::size_t bytes = unlimited;
  bool keep_newline = false;
};

// Waits for what `need` asks. May be used again, and by several waiters.
class read_operation final : public operation {
 public:
  read_operation(std::shared_ptr<detail::byte_source> from, const read_need& need) noexcept
      : source_(std::move(from)), need_(need) {}

  bool try_now(waiter&);
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter& by) noexcept override;
  wait_description describe() const noexcept override;
  // The bytes; nothing at the end, where `all` still yields an empty string.
  result<std::optional<std::string>> take_result();
  const read_need& need() const noexcept { return need_; }

  auto operator co_await() && { return detail::awaiter<read_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::byte_source> source_;
  read_need need_;
};

// Waits until the stream has taken all of `data`. May be used again; one waiter at a time.
class write_operation final : public operation {
 public:
  write_operation(std::shared_ptr<detail::byte_sink> to, std::string data) noexcept
      : sink_(std::move(to)), data_(std::move(data)) {}

  bool try_now(waiter&);
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return false; }
  wait_description describe() const noexcept override;
  // An error once the other end is gone (EPIPE) or the stream was closed (EBADF).
  result<unit> take_result();

  auto operator co_await() && { return detail::awaiter<write_operation>(std::move(*this)); }

 private:
  friend class detail::byte_sink;
  std::shared_ptr<detail::byte_sink> sink_;
  std::string data_;
  bool accepted_ = false;
};

// Waits until everything written has left. May be used again, and by several waiters.
class flush_operation final : public operation {
 public:
  explicit flush_operation(std::shared_ptr<detail::byte_sink> of) noexcept : sink_(std::move(of)) {}

  bool try_now(waiter&);
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override;
  result<unit> take_result();

  auto operator co_await() && { return detail::awaiter<flush_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::byte_sink> sink_;
};

// The end to read from. Copies share the stream.
class reader {
 public:
  reader() noexcept = default;
  explicit reader(std::shared_ptr<detail::byte_source> source) noexcept : source_(std::move(source)) {}

  explicit operator bool() const noexcept { return source_ != nullptr; }
  // Each waits until that much is there, and yields the bytes; nothing at the end. Kind io where the system fails.
  read_operation read(const read_need& need) const { return {source_, need}; }
  read_operation read_some(std::size_t at_most = 65536) const {
    return read({.mode = read_mode::some, .bytes = at_most});
  }
  read_operation read_exactly(std::size_t bytes) const { return read({.mode = read_mode::exactly, .bytes = bytes}); }
  read_operation read_line(bool keep_newline = false) const {
    return read({.mode = read_mode::line, .keep_newline = keep_newline});
  }
  read_operation read_all(std::size_t limit = read_need::unlimited) const {
    return read({.mode = read_mode::all, .bytes = limit});
  }
  // Bytes that were read and not yet taken.
  std::size_t buffered() const noexcept;
  // Drops what is buffered; every read from now on, a waiting one too, finds the end. Idempotent.
  void close() const noexcept;
  const std::shared_ptr<detail::byte_source>& source() const noexcept { return source_; }

 private:
  std::shared_ptr<detail::byte_source> source_;
};

// The end to write to. Copies share the stream.
class writer {
 public:
  // Bytes waiting to go above which a write waits.
  static constexpr std::size_t high_water = 65536;

  writer() noexcept = default;
  explicit writer(std::shared_ptr<detail::byte_sink> sink) noexcept : sink_(std::move(sink)) {}

  explicit operator bool() const noexcept { return sink_ != nullptr; }
  // Waits until the stream has taken the bytes; until all that was taken has left. Kind io once nobody reads any more.
  write_operation write(std::string data) const { return {sink_, std::move(data)}; }
  flush_operation flush() const { return flush_operation(sink_); }
  // Bytes accepted and not yet gone.
  std::size_t pending() const noexcept;
  // Accepts nothing more; closes the descriptor when what is pending has gone. Idempotent. flush() waits for that.
  void close() const noexcept;
  const std::shared_ptr<detail::byte_sink>& sink() const noexcept { return sink_; }

 private:
  std::shared_ptr<detail::byte_sink> sink_;
};

}  // namespace perilune
