// Sockets in C++: connecting, accepting, reading and writing as operations, and what fails with which code.
#include <perilune/net.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

net::listener must_listen() {
  auto opened = net::listener::listen({"127.0.0.1", 0});
  if (!opened.ok()) FAIL(opened.error().message);
  return *std::move(opened);
}

// Accepts one connection and sends each line back.
task<int> echo(net::listener at) {
  auto accepted = co_await at.accept();
  net::connection stream = **std::move(accepted);
  int lines = 0;
  for (;;) {
    auto line = co_await stream.in.read_line(true);
    if (!line || !*line) break;
    ++lines;
    auto written = co_await stream.out.write(**line);
    if (!written) break;
  }
  stream.out.close();
  co_return lines;
}

}  // namespace

TEST_CASE("a line goes there and back, and each side sees the other's end", "[net]") {
  runtime rt;
  auto end = rt.run([]() -> task<std::string> {
    const net::listener at = must_listen();
    auto server = spawn(echo(at));
    auto connected = co_await net::connect(at.at());
    net::connection stream = *std::move(connected);
    auto written = co_await stream.out.write("one\ntwo\n");
    stream.out.close();
    auto all = co_await stream.in.read_all();
    auto lines = co_await server.join();
    const int echoed = std::move(lines).unwrap();
    const bool ends = stream.there.port == at.at().port && echoed == 2 && written.ok();
    co_return ends ? **all : "no";
  }());
  CHECK(std::move(end).unwrap() == "one\ntwo\n");
}

TEST_CASE("an accept that is cancelled, or loses a select, loses no connection", "[net]") {
  runtime rt;
  auto end = rt.run([]() -> task<bool> {
    const net::listener at = must_listen();
    auto waiting = spawn([](net::listener from) -> task<bool> {
      auto got = co_await from.accept();
      co_return got.ok() && got->has_value();
    }(at));
    co_await yield();
    auto connected = co_await net::connect(at.at());
    waiting.cancel();
    auto outcome = co_await waiting.join();
    if (!connected.ok()) co_return false;
    if (outcome.returned()) co_return true;
    auto again = co_await at.accept();
    co_return again.ok() && again->has_value();
  }());
  CHECK(std::move(end).unwrap());
}

TEST_CASE("a port where nobody listens refuses, a closed listener ends", "[net]") {
  runtime rt;
  auto end = rt.run([]() -> task<int> {
    const net::listener at = must_listen();
    at.close();
    auto accepted = co_await at.accept();
    auto refused = co_await net::connect(at.at());
    if (!accepted.ok() || accepted->has_value() || refused.ok()) co_return -1;
    co_return refused.error().code;
  }());
  CHECK(std::move(end).unwrap() == ECONNREFUSED);
}

TEST_CASE("a datagram comes whole, with its sender", "[net]") {
  runtime rt;
  auto end = rt.run([]() -> task<std::string> {
    auto a = net::datagram_socket::open({"127.0.0.1", 0});
    auto b = net::datagram_socket::open({"127.0.0.1", 0});
    auto sent = a->send("hello", b->at());
    auto got = co_await b->receive();
    const bool right = sent.ok() && *sent && (*got)->from.port == a->at().port;
    co_return right ? (*got)->bytes : "no";
  }());
  CHECK(std::move(end).unwrap() == "hello");
}
