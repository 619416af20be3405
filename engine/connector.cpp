// Making a connection. See connector.hpp and net.hpp.
#include "connector.hpp"

#include <cerrno>
#include <system_error>

#include "blocking_pool.hpp"
#include "pipe.hpp"
#include "reactor.hpp"

namespace perilune::net {

namespace detail {

namespace {

// Looks a name up on the pool.
class look_up_job final : public perilune::detail::blocking_job {
 public:
  look_up_job(std::weak_ptr<connector> to, std::uint64_t number, std::string name)
      : blocking_job({.name = "resolve", .abandonable = true}),
        to_(std::move(to)),
        number_(number),
        name_(std::move(name)) {}

  void run() noexcept override {
    try {
      found_ = look_up(name_);
    } catch (const std::exception& e) {
      found_ = error{error_kind::error, e.what(), 0, {}};
    }
  }
  void completed(const error* refusal) noexcept override {
    if (const auto to = to_.lock()) to->looked_up(number_, refusal ? *refusal : std::move(found_));
  }

 private:
  std::weak_ptr<connector> to_;
  std::uint64_t number_;
  std::string name_;
  result<std::vector<std::string>> found_ = std::vector<std::string>();
};

}  // namespace

result<connection> join_ends(perilune::detail::worker& home, unique_fd fd) {
  connection made;
  made.here = local_end(fd.get());
  made.there = remote_end(fd.get());
  if (!made.here.local) set_no_delay(fd.get());
  const std::string name = made.there.host.empty() ? "socket " + shown(made.here) : shown(made.there);
  try {
    auto [source, sink] = perilune::detail::make_socket_ends(home, std::move(fd), name);
    made.in = reader(std::move(source));
    made.out = writer(std::move(sink));
  } catch (const std::system_error& refused) {
    return error::system("socket " + name, refused.code().value());
  }
  return made;
}

bool connector::attempt() noexcept {
  if (!end_ || granted_ || !waiters_.empty()) return false;
  return granted_ = true;
}

void connector::arm(waiter& by) {
  waiters_.arm(by);
  if (!under_way_ && !end_) begin();
}

void connector::disarm(waiter& by) noexcept {
  waiters_.disarm(by);
  if (waiters_.empty() && under_way_) give_up();
}

void connector::give_back() noexcept {
  granted_ = false;
  if (waiters_.empty())
    end_.reset();
  else
    serve();
}

result<connection> connector::take() {
  granted_ = false;
  result<connection> end = std::move(*end_);
  end_.reset();
  if (!waiters_.empty()) begin();
  return end;
}

void connector::begin() {
  under_way_ = true;
  next_ = 0;
  last_.reset();
  if (to_.local || is_numeric(to_.host)) {
    addresses_ = {to_.host};
    return try_next();
  }
  home_.owner().pool().submit(std::make_shared<look_up_job>(weak_from_this(), number_, to_.host), home_);
}

void connector::looked_up(std::uint64_t number, result<std::vector<std::string>> addresses) {
  if (!under_way_ || number != number_) return;
  if (!addresses) return finish(std::move(addresses).error());
  addresses_ = *std::move(addresses);
  try_next();
}

void connector::try_next() {
  while (next_ < addresses_.size()) {
    const auto address = to_raw({addresses_[next_++], to_.port, to_.local});
    if (!address) {
      last_ = address.error();
      continue;
    }
    auto fd = open_socket(address->family(), SOCK_STREAM, "connect to " + shown(to_));
    if (!fd) {
      last_ = fd.error();
      continue;
    }
    if (::connect(fd->get(), address->get(), address->size) == 0) return finish(join_ends(home_, *std::move(fd)));
    if (errno == EINPROGRESS) return await_end(*std::move(fd));
    last_ = failure(errno);
  }
  finish(last_ ? *last_ : failure(EHOSTUNREACH));
}

void connector::await_end(unique_fd fd) {
  pending_ = std::make_unique<asio::posix::stream_descriptor>(home_.io_reactor().executor(), fd.get());
  fd.release();
  pending_->async_wait(asio::posix::stream_descriptor::wait_write,
                       [weak = weak_from_this(), number = number_](const asio::error_code& stopped) {
                         const auto self = weak.lock();
                         if (stopped || !self || number != self->number_ || !self->pending_) return;
                         unique_fd connected(self->pending_->release());
                         self->pending_.reset();
                         int code = 0;
                         socklen_t size = sizeof code;
                         ::getsockopt(connected.get(), SOL_SOCKET, SO_ERROR, &code, &size);
                         if (code == 0) return self->finish(join_ends(self->home_, std::move(connected)));
                         self->last_ = self->failure(code);
                         self->try_next();
                       });
}

void connector::finish(result<connection> end) {
  under_way_ = false;
  ++number_;
  end_.emplace(std::move(end));
  serve();
}

void connector::serve() noexcept {
  if (granted_ || !end_ || waiters_.empty()) return;
  granted_ = true;
  waiters_.grant_front();
}

void connector::give_up() noexcept {
  under_way_ = false;
  ++number_;
  pending_.reset();
}

}  // namespace detail

bool connect_operation::try_now(waiter&) noexcept { return to_->attempt(); }
void connect_operation::arm(waiter& by) { to_->arm(by); }
void connect_operation::disarm(waiter& by) noexcept { to_->disarm(by); }
result<connection> connect_operation::take_result() { return to_->take(); }

bool connect_operation::give_back(waiter&) noexcept {
  to_->give_back();
  return true;
}

connect_operation connect(endpoint to) {
  return connect_operation(std::make_shared<detail::connector>(perilune::detail::worker::here(), std::move(to)));
}

}  // namespace perilune::net
