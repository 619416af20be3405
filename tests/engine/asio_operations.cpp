// asio's own operations in tasks: use_task.
#include <perilune/asio.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include <asio/buffer.hpp>
#include <asio/connect_pipe.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/readable_pipe.hpp>
#include <asio/steady_timer.hpp>
#include <asio/writable_pipe.hpp>
#include <asio/write.hpp>

#include <perilune/scope.hpp>
#include <perilune/timer.hpp>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

struct ends {
  explicit ends(asio::io_context& io) : out(io), in(io) { asio::connect_pipe(in, out); }
  asio::writable_pipe out;
  asio::readable_pipe in;
};

task<std::string> read_some(asio::readable_pipe& in) {
  char text[16];
  const std::size_t count = co_await in.async_read_some(asio::buffer(text), use_task);
  co_return std::string(text, count);
}

}  // namespace

TEST_CASE("an operation of asio yields what its handler would be given, and throws its error") {
  asio::io_context io;
  runtime rt(join(io.get_executor()));
  ends pipe(io);
  std::string all;
  bool ended = false;
  const auto reader = rt.spawn([](ends& p, std::string& got, bool& over) -> task<> {
    got = co_await read_some(p.in);
    const std::size_t more = co_await asio::async_read_until(p.in, asio::dynamic_buffer(got), '.', use_task);
    got.resize(more);
    try {
      static_cast<void>(co_await read_some(p.in));
    } catch (const asio::system_error& e) {
      over = e.code() == asio::error::eof;
    }
  }(pipe, all, ended));
  const auto writer = rt.spawn([](ends& p, asio::io_context& loop) -> task<> {
    asio::steady_timer pause(loop, 2ms);
    co_await pause.async_wait(use_task);
    const std::size_t count = co_await asio::async_write(p.out, asio::buffer("one, ", 5), use_task);
    if (count != 5) co_return;
    co_await sleep(1ms);
    co_await asio::async_write(p.out, asio::buffer("two.", 4), use_task);
    p.out.close();
  }(pipe, io));
  io.run();
  CHECK(reader.outcome_now().returned());
  CHECK(writer.outcome_now().returned());
  CHECK(all == "one, two.");
  CHECK(ended);
}

TEST_CASE("several values are a tuple; sockets connect and accept") {
  asio::io_context io;
  runtime rt(join(io.get_executor()));
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  const auto client = rt.spawn([](asio::io_context& loop, asio::ip::tcp::endpoint to) -> task<> {
    asio::ip::tcp::socket socket(loop);
    co_await socket.async_connect(to, use_task);
    co_await asio::async_write(socket, asio::buffer("hello", 5), use_task);
  }(io, acceptor.local_endpoint()));
  const auto server = rt.spawn([](asio::ip::tcp::acceptor& from) -> task<std::string> {
    asio::ip::tcp::socket peer = co_await from.async_accept(use_task);
    std::string text(5, ' ');
    co_await asio::async_read(peer, asio::buffer(text), use_task);
    co_return text;
  }(acceptor));
  const auto both = rt.spawn([](asio::io_context& loop) -> task<int> {
    auto two = co_await asio::async_initiate<const use_task_t&, void(int, std::string)>(
        [&loop](auto handler) {
          asio::post(loop, [h = std::move(handler)]() mutable { std::move(h)(2, std::string("three")); });
        },
        use_task);
    co_return std::get<0>(two) + static_cast<int>(std::get<1>(two).size());
  }(io));
  io.run();
  CHECK(client.outcome_now().returned());
  CHECK(server.outcome_now().value() == "hello");
  CHECK(both.outcome_now().value() == 7);
}

TEST_CASE("a cancelled task ends when asio has let go of its buffer; so does one that lost a race") {
  asio::io_context io;
  runtime rt(join(io.get_executor()));
  ends pipe(io);
  const auto reader = rt.spawn(read_some(pipe.in));
  const auto raced = rt.spawn([](asio::io_context& loop) -> task<int> {
    asio::steady_timer never(loop, 1h);
    const auto won = co_await with_any<int>([&](any_scope<int>& s) -> task<> {
      s.spawn([](asio::steady_timer& t) -> task<int> {
        co_await t.async_wait(use_task);
        co_return 1;
      }(never));
      s.spawn([]() -> task<int> {
        co_await sleep(2ms);
        co_return 2;
      }());
      co_return;
    });
    co_return *won;
  }(io));
  rt.post(0, [reader] { reader.cancel("enough"); });
  io.run();
  CHECK(reader.outcome_now().cancelled());
  CHECK(raced.outcome_now().value() == 2);
}

TEST_CASE(
    "the operation may run on a context that another thread runs; what has arrived before the cancellation counts") {
  asio::io_context io;
  auto work = asio::make_work_guard(io);
  std::thread other([&io] { io.run(); });
  {
    runtime rt;
    ends pipe(io);
    const auto end = rt.run([](ends& p) -> task<std::string> {
      auto late = spawn(read_some(p.in));
      co_await sleep(1ms);
      late.cancel();
      const bool cancelled = (co_await late.join()).cancelled();
      auto reader = spawn(read_some(p.in));
      co_await asio::async_write(p.out, asio::buffer("text", 4), use_task);
      const std::string text = (co_await reader.join()).value();
      co_return cancelled ? text : "not cancelled";
    }(pipe));
    CHECK(end.value() == "text");
  }
  work.reset();
  other.join();
}

TEST_CASE("an operation whose context ends with it is aborted") {
  runtime rt;
  const auto end = rt.run([]() -> task<bool> {
    auto io = std::make_unique<asio::io_context>();
    auto never = std::make_unique<asio::steady_timer>(*io, 1h);
    auto waits = spawn([](asio::steady_timer& t) -> task<> { co_await t.async_wait(use_task); }(*never));
    co_await sleep(1ms);
    never.reset();
    io.reset();
    const bool failed = (co_await waits.join()).failed();
    co_return failed;
  }());
  CHECK(end.value());
}
