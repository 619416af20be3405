// Pipes on the reactor. See pipe.hpp.
#include "pipe.hpp"

#include <algorithm>
#include <cerrno>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <asio/posix/stream_descriptor.hpp>

#include "byte_sink.hpp"
#include "byte_source.hpp"
#include "reactor.hpp"

namespace perilune::detail {

namespace {

using wait_type = asio::posix::stream_descriptor::wait_type;

// Closed with the last stream that uses it.
using shared_end = std::shared_ptr<asio::posix::stream_descriptor>;

shared_end make_end(worker& home, unique_fd fd) {
  auto end = std::make_shared<asio::posix::stream_descriptor>(home.io_reactor().executor(), fd.get());
  fd.release();
  end->native_non_blocking(true);
  return end;
}

class pipe_source final : public byte_source {
 public:
  pipe_source(worker& home, shared_end end, std::string name, const char* kind)
      : byte_source(home, std::move(name)), end_(std::move(end)), kind_(kind) {}
  const char* kind() const noexcept override { return kind_; }

 private:
  bool fetch_now() override {
    if (over() || !end_) return false;
    for (;;) {
      char* const room = buffer().room(chunk_);
      const ssize_t n = ::read(end_->native_handle(), room, chunk_);
      if (n > 0) {
        received({room, static_cast<std::size_t>(n)});
        if (static_cast<std::size_t>(n) == chunk_) chunk_ = std::min<std::size_t>(chunk_ * 2, 65536);
        if (over()) release();
        return true;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return false;
      if (n < 0)
        failed(error::system("read " + name(), errno));
      else
        descriptor_ended();
      if (buffer().empty()) buffer().clear();  // nothing will come: most have said little or nothing
      release();
      return true;
    }
  }
  void begin_fetch() override {
    end_->async_wait(wait_type::wait_read, [weak = weak_from_this()](const asio::error_code& stopped) {
      auto self = std::static_pointer_cast<pipe_source>(weak.lock());
      if (!self) return;
      if (!stopped && self->wanted()) self->fetch_now();
      self->fetch_over();
    });
  }
  void release() noexcept override { end_.reset(); }

  shared_end end_;
  const char* kind_;
  std::size_t chunk_ = 4096;
};

// Keeps SIGPIPE from reaching this thread, and takes away the one a write has caused.
class sigpipe_blocked {
 public:
  sigpipe_blocked() noexcept {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    had_one_ = sigismember(&pending, SIGPIPE) == 1;
    if (!had_one_) pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~sigpipe_blocked() {
    if (had_one_) return;
    if (broken) {
      const timespec now{};
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  sigpipe_blocked(const sigpipe_blocked&) = delete;
  sigpipe_blocked& operator=(const sigpipe_blocked&) = delete;

  bool broken = false;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool had_one_;
};

class pipe_sink final : public byte_sink {
 public:
  pipe_sink(worker& home, shared_end end, std::string name, const char* kind)
      : byte_sink(home, std::move(name)), end_(std::move(end)), kind_(kind) {}
  const char* kind() const noexcept override { return kind_; }

 private:
  long push(std::string_view bytes) noexcept override {
    sigpipe_blocked guard;
    for (;;) {
      const ssize_t n = ::write(end_->native_handle(), bytes.data(), bytes.size());
      if (n >= 0) return n;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return 0;
      guard.broken = errno == EPIPE;
      return -errno;
    }
  }
  // Keeps itself alive: what was accepted goes out even when every handle is gone.
  void await_room() override {
    end_->async_wait(wait_type::wait_write,
                     [self = shared_from_this(), alive = home().io_reactor().lifetime()](const asio::error_code&) {
                       if (!alive.expired()) static_cast<pipe_sink&>(*self).can_push();
                     });
  }
  // A pipe is closed; of a socket that is still read the other side learns that nothing more comes.
  void release() noexcept override {
    if (end_) ::shutdown(end_->native_handle(), SHUT_WR);
    end_.reset();
  }

  shared_end end_;
  const char* kind_;
};

}  // namespace

std::shared_ptr<byte_source> make_pipe_source(worker& home, unique_fd fd, std::string name) {
  return std::make_shared<pipe_source>(home, make_end(home, std::move(fd)), std::move(name), "pipe");
}

std::shared_ptr<byte_sink> make_pipe_sink(worker& home, unique_fd fd, std::string name) {
  return std::make_shared<pipe_sink>(home, make_end(home, std::move(fd)), std::move(name), "pipe");
}

socket_ends make_socket_ends(worker& home, unique_fd fd, std::string name) {
  const shared_end end = make_end(home, std::move(fd));
  return {std::make_shared<pipe_source>(home, end, name, "socket"),
          std::make_shared<pipe_sink>(home, end, std::move(name), "socket")};
}

}  // namespace perilune::detail
