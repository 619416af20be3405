// Serving reads from a buffer. See stream.hpp and byte_source.hpp.
#include "byte_source.hpp"

#include <cstring>

#include <asio/post.hpp>

#include "reactor.hpp"

namespace perilune {

namespace detail {

namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);
constexpr int fetches_at_once = 8;  // of one read that needs no waiting

const read_need& need_of(const waiter& by) noexcept { return static_cast<read_operation&>(*by.op).need(); }

}  // namespace

std::size_t byte_source::line_end(std::size_t limit) noexcept {
  const std::string_view bytes = buffer_.view();
  const std::size_t at = bytes.find('\n', scanned_);
  scanned_ = at == none ? bytes.size() : at;
  return at == none || at > limit ? none : at;
}

bool byte_source::satisfied(const read_need& need) noexcept {
  if (closed_ || over()) return true;
  switch (need.mode) {
    case read_mode::some:
      return !buffer_.empty() || need.bytes == 0;
    case read_mode::exactly:
      return buffer_.size() >= need.bytes;
    case read_mode::line:
      return line_end(need.bytes) != none || buffer_.size() > need.bytes;
    case read_mode::all:
      return buffer_.size() > need.bytes;
  }
  return true;
}

bool byte_source::attempt(const read_need& need) {
  if (busy()) return false;
  for (int i = 0; i < fetches_at_once && !satisfied(need) && fetch_now(); ++i) {
  }
  if (!satisfied(need)) return false;
  granted_ = true;
  return true;
}

void byte_source::arm(waiter& by) {
  readers_.arm(by);
  serve();
}

// The next in line may need less than the one that left, but nobody is granted inside a disarm: the task that withdraws
// may have another arm here.
void byte_source::disarm(waiter& by) noexcept {
  readers_.disarm(by);
  if (granted_ || readers_.empty() || !satisfied(need_of(*readers_.front()))) return;
  asio::post(home_.io_reactor().executor(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->serve();
  });
}

void byte_source::return_grant() noexcept {
  granted_ = false;
  serve();
}

bool byte_source::wanted() const noexcept {
  if (closed_ || over()) return false;
  return (!granted_ && !readers_.empty()) || (prefetching_ && buffer_.size() <= prefetch_limit_);
}

void byte_source::serve() {
  if (!granted_ && !readers_.empty() && satisfied(need_of(*readers_.front()))) {
    granted_ = true;
    readers_.grant_front();
  }
  if (!fetching_ && wanted()) {
    fetching_ = true;
    begin_fetch();
  }
}

void byte_source::fetch_over() {
  fetching_ = false;
  const bool overflows = prefetching_ && buffer_.size() > prefetch_limit_;
  if (prefetching_ && (overflows || over())) end_prefetch();
  if (overflows && overflow_) std::exchange(overflow_, nullptr)();
  serve();
}

void byte_source::prefetch(std::size_t limit, std::function<void()> overflow) {
  if (prefetching_ || closed_ || over()) return;
  prefetching_ = true;
  prefetch_limit_ = limit;
  overflow_ = std::move(overflow);
  home_.background_begins();
  serve();
}

void byte_source::end_prefetch() noexcept {
  if (std::exchange(prefetching_, false)) home_.background_ends();
}

std::string byte_source::cut(std::size_t bytes, std::size_t dropped) {
  std::string piece(buffer_.data(), bytes - dropped);
  buffer_.consume(bytes);
  scanned_ = scanned_ > bytes ? scanned_ - bytes : 0;
  taken(bytes);
  return piece;
}

error byte_source::limit_error(const char* what, std::size_t bytes) const {
  return {error_kind::limit, "read " + name_ + ": " + what + " exceeds " + std::to_string(bytes) + " bytes", 0, {}};
}

result<std::optional<std::string>> byte_source::extract(const read_need& need) {
  const std::size_t size = buffer_.size();
  if (need.mode == read_mode::all) {
    if (size > need.bytes) return limit_error("the text", need.bytes);
    if (failure_) return *failure_;
    return std::optional(cut(size));
  }
  if (size == 0 && need.bytes != 0) {
    if (failure_) return *failure_;
    return std::optional<std::string>();
  }
  if (need.mode != read_mode::line) return std::optional(cut(std::min(size, need.bytes)));
  const std::size_t newline = line_end(need.bytes);
  if (newline != none) return std::optional(cut(newline + 1, need.keep_newline ? 0 : 1));
  if (size > need.bytes) return limit_error("a line", need.bytes);
  return std::optional(cut(size));
}

result<std::optional<std::string>> byte_source::take(const read_need& need) {
  auto piece = extract(need);
  granted_ = false;
  serve();
  return piece;
}

void byte_source::rewind() noexcept {
  buffer_.clear();
  scanned_ = 0;
  ended_ = false;
  failure_.reset();
}

void byte_source::close() noexcept {
  if (closed_) return;
  closed_ = true;
  end_prefetch();
  buffer_.clear();
  scanned_ = 0;
  failure_.reset();
  release();
  serve();
}

}  // namespace detail

bool read_operation::try_now(waiter&) { return source_->attempt(need_); }
void read_operation::arm(waiter& by) { source_->arm(by); }
void read_operation::disarm(waiter& by) noexcept { source_->disarm(by); }

bool read_operation::give_back(waiter&) noexcept {
  source_->return_grant();
  return true;
}

wait_description read_operation::describe() const noexcept { return {"read", source_->kind(), source_.get()}; }
result<std::optional<std::string>> read_operation::take_result() { return source_->take(need_); }

std::size_t reader::buffered() const noexcept { return source_->buffered(); }
void reader::close() const noexcept { source_->close(); }

}  // namespace perilune
