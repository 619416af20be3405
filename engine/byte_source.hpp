// Where a reader's bytes come from: the buffer, the reads that wait for it, and the rules of who gets what. Derived
// classes fetch bytes. At most one grant is out at a time; the bytes are taken when its task resumes, and the next read
// in line is looked at then. Shared by its handles and operations; the worker's thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <perilune/stream.hpp>
#include <perilune/stream_layer.hpp>

#include "byte_buffer.hpp"
#include "external_queue.hpp"

namespace perilune::detail {

class byte_sink;

class byte_source : public std::enable_shared_from_this<byte_source> {
 public:
  // `name` says in errors what was read: "stdout of make".
  byte_source(worker& home, std::string name) : home_(home), name_(std::move(name)) {}
  byte_source(const byte_source&) = delete;
  byte_source& operator=(const byte_source&) = delete;
  virtual ~byte_source() { end_prefetch(); }

  bool attempt(const read_need& need);
  void arm(waiter& by);
  void disarm(waiter& by) noexcept;
  void return_grant() noexcept;
  result<std::optional<std::string>> take(const read_need& need);

  // Reads ahead of any reader until the end or until more than `limit` bytes are buffered; then `overflow` is called.
  void prefetch(std::size_t limit, std::function<void()> overflow);
  void close() noexcept;
  std::size_t buffered() const noexcept { return buffer_.size(); }
  bool busy() const noexcept { return granted_ || !readers_.empty(); }
  // The layer's answers leave by the sink.
  void put_layer(std::shared_ptr<stream_layer> layer, const std::shared_ptr<byte_sink>& answers_to);
  bool has_layer() const noexcept { return layer_ != nullptr; }
  virtual const char* kind() const noexcept = 0;

 protected:
  // Appends what can be had without waiting; false when there is nothing now.
  virtual bool fetch_now() { return false; }
  // Begins to fetch; fetched(), ended() or failed() follows, then fetch_over(). Not called again before.
  virtual void begin_fetch() = 0;
  virtual void release() noexcept = 0;
  // Some bytes left the buffer for a reader.
  virtual void taken(std::size_t) noexcept {}

  bool wanted() const noexcept;
  bool over() const noexcept { return ended_ || failure_.has_value(); }
  byte_buffer& buffer() noexcept { return buffer_; }
  void ended() noexcept { ended_ = true; }
  void failed(error problem) noexcept { failure_ = std::move(problem); }
  // Bytes of the descriptor, which stand in the buffer's room; and its end.
  void received(std::string_view arrived);
  void descriptor_ended();
  void fetch_over();
  // Forgets what is buffered and that there was an end.
  void rewind() noexcept;
  worker& home() const noexcept { return home_; }
  const std::string& name() const noexcept { return name_; }

 private:
  bool satisfied(const read_need& need) noexcept;
  std::size_t line_end(std::size_t limit) noexcept;
  void serve();
  void end_prefetch() noexcept;
  void decode(std::string_view arrived);
  result<std::optional<std::string>> extract(const read_need& need);
  std::string cut(std::size_t bytes, std::size_t dropped = 0);
  error limit_error(const char* what, std::size_t bytes) const;

  worker& home_;
  std::string name_;
  byte_buffer buffer_;
  external_queue readers_;
  std::optional<error> failure_;
  std::shared_ptr<stream_layer> layer_;
  std::weak_ptr<byte_sink> answers_to_;
  std::size_t scanned_ = 0;  // so many bytes of the buffer hold no newline
  std::size_t prefetch_limit_ = 0;
  std::function<void()> overflow_;
  bool prefetching_ = false;
  bool fetching_ = false;
  bool granted_ = false;
  bool ended_ = false;
  bool closed_ = false;
};

}  // namespace perilune::detail
