// Pipes on the reactor. See pipe.hpp.
#include "pipe.hpp"

#include <algorithm>
#include <cerrno>

#include <signal.h>
#include <unistd.h>
#include <asio/posix/stream_descriptor.hpp>

#include "byte_sink.hpp"
#include "byte_source.hpp"
#include "reactor.hpp"

namespace perilune::detail {

namespace {

using wait_type = asio::posix::stream_descriptor::wait_type;

class pipe_source final : public byte_source {
 public:
  pipe_source(worker& home, unique_fd fd, std::string name)
      : byte_source(home, std::move(name)), end_(home.io_reactor().executor(), fd.get()) {
    fd.release();
    end_.native_non_blocking(true);
  }
  const char* kind() const noexcept override { return "pipe"; }

 private:
  bool fetch_now() override {
    if (over() || !end_.is_open()) return false;
    for (;;) {
      const ssize_t n = ::read(end_.native_handle(), buffer().room(chunk_), chunk_);
      if (n > 0) {
        buffer().filled(static_cast<std::size_t>(n));
        if (static_cast<std::size_t>(n) == chunk_) chunk_ = std::min<std::size_t>(chunk_ * 2, 65536);
        return true;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return false;
      if (n < 0)
        failed(error::system("read " + name(), errno));
      else
        ended();
      release();
      return true;
    }
  }
  void begin_fetch() override {
    end_.async_wait(wait_type::wait_read, [weak = weak_from_this()](const asio::error_code& stopped) {
      auto self = std::static_pointer_cast<pipe_source>(weak.lock());
      if (!self) return;
      if (!stopped && self->wanted()) self->fetch_now();
      self->fetch_over();
    });
  }
  void release() noexcept override {
    asio::error_code ignored;
    static_cast<void>(end_.close(ignored));
  }

  asio::posix::stream_descriptor end_;
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
  pipe_sink(worker& home, unique_fd fd, std::string name)
      : byte_sink(home, std::move(name)), end_(home.io_reactor().executor(), fd.get()) {
    fd.release();
    end_.native_non_blocking(true);
  }
  const char* kind() const noexcept override { return "pipe"; }

 private:
  long push(std::string_view bytes) noexcept override {
    sigpipe_blocked guard;
    for (;;) {
      const ssize_t n = ::write(end_.native_handle(), bytes.data(), bytes.size());
      if (n >= 0) return n;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return 0;
      guard.broken = errno == EPIPE;
      return -errno;
    }
  }
  // Keeps itself alive: what was accepted goes out even when every handle is gone.
  void await_room() override {
    end_.async_wait(wait_type::wait_write,
                    [self = shared_from_this(), alive = home().io_reactor().lifetime()](const asio::error_code&) {
                      if (!alive.expired()) static_cast<pipe_sink&>(*self).can_push();
                    });
  }
  void release() noexcept override {
    asio::error_code ignored;
    static_cast<void>(end_.close(ignored));
  }

  asio::posix::stream_descriptor end_;
};

}  // namespace

std::shared_ptr<byte_source> make_pipe_source(worker& home, unique_fd fd, std::string name) {
  return std::make_shared<pipe_source>(home, std::move(fd), std::move(name));
}

std::shared_ptr<byte_sink> make_pipe_sink(worker& home, unique_fd fd, std::string name) {
  return std::make_shared<pipe_sink>(home, std::move(fd), std::move(name));
}

}  // namespace perilune::detail
