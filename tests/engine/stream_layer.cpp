// Layers on streams: what arrives is decoded, also what had arrived before, what is written is encoded, and the end is told.
#include <perilune/net.hpp>
#include <perilune/runtime.hpp>
#include <perilune/stream_layer.hpp>

#include <cerrno>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace perilune;

namespace {

// Changes the case of letters; '?' is answered by '!', and '.' is the end.
class shouting final : public stream_layer {
 public:
  decoded decode(std::string_view arrived) override {
    decoded got;
    for (const char each : arrived) {
      if (each == '?') got.answer += '!';
      if (each == '.') got.ended = true;
      if (each != '?' && each != '.') got.bytes += static_cast<char>(each ^ 0x20);
    }
    return got;
  }
  result<std::string> encode(std::string_view bytes) override {
    if (bytes == "unsayable") return error{error_kind::io, "cannot say that", EPROTO, {}};
    std::string made(bytes);
    for (char& each : made) each = static_cast<char>(each ^ 0x20);
    return made;
  }
  std::string farewell() override { return "."; }
  std::optional<error> cut_off() override { return error{error_kind::io, "cut off", ECONNRESET, {}}; }
};

struct both_sides {
  net::connection plain;
  net::connection layered;
};

task<both_sides> connect_sides() {
  auto opened = net::listener::listen({"127.0.0.1", 0});
  const net::listener at = *std::move(opened);
  auto connected = co_await net::connect(at.at());
  auto accepted = co_await at.accept();
  co_return both_sides{*std::move(connected), **std::move(accepted)};
}

std::string shown(result<std::optional<std::string>> got) {
  if (!got.ok()) return "error: " + got.error().message;
  return got->has_value() ? **std::move(got) : "end";
}

// Runs `body` on a connection whose one side has a layer, put there when the other side's first word had arrived.
template <class Body>
std::string with_layer(const std::string& first_word, Body body) {
  runtime rt;
  auto end = rt.run([](std::string word, Body then) -> task<std::string> {
    both_sides sides = co_await connect_sides();
    auto written = co_await sides.plain.out.write("go " + word);
    auto begun = co_await sides.layered.in.read_exactly(3);
    if (!written.ok() || !begun.ok()) co_return "not begun";
    auto put = put_layer(sides.layered.in, sides.layered.out, std::make_shared<shouting>());
    if (!put.ok()) co_return put.error().message;
    std::string came = co_await then(std::move(sides));
    co_return came;
  }(first_word, std::move(body)));
  return std::move(end).unwrap();
}

}  // namespace

TEST_CASE("what had been read ahead is decoded as what arrives later is", "[layer]") {
  const auto body = [](both_sides sides) -> task<std::string> {
    auto written = co_await sides.plain.out.write("LATER");
    auto early = co_await sides.layered.in.read_exactly(5);
    auto late = co_await sides.layered.in.read_exactly(5);
    co_return shown(std::move(early)) + " " + shown(std::move(late)) + (written.ok() ? "" : " no");
  };
  CHECK(with_layer("EARLY", body) == "early later");
}

TEST_CASE("writes are encoded, those that waited too, answers are not, and a close says farewell", "[layer]") {
  const auto body = [](both_sides sides) -> task<std::string> {
    auto asked = co_await sides.plain.out.write("?X");
    auto heard = co_await sides.layered.in.read_exactly(1);
    const std::size_t much = 4 * writer::high_water;
    auto writing = spawn([](writer to, std::size_t size) -> task<bool> {
      bool fine = true;
      for (int i = 0; i < 8 && fine; ++i) {
        auto written = co_await to.write(std::string(size, 'a'));
        fine = written.ok();
      }
      to.close();
      co_return fine;
    }(sides.layered.out, much));
    auto all = co_await sides.plain.in.read_all();
    auto wrote = co_await writing.join();
    const bool fine = std::move(wrote).unwrap();
    const bool right = fine && asked.ok() && **all == "!" + std::string(8 * much, 'A') + ".";
    co_return shown(std::move(heard)) + (right ? " right" : " wrong");
  };
  CHECK(with_layer("", body) == "x right");
}

TEST_CASE("the end is what the layer says; a descriptor that ends before was cut off", "[layer]") {
  const auto ended = [](both_sides sides) -> task<std::string> {
    auto all = co_await sides.layered.in.read_all();
    auto written = co_await sides.layered.out.write("yes");
    auto answer = co_await sides.plain.in.read_exactly(3);
    co_return shown(std::move(all)) + " " + shown(std::move(answer)) + (written.ok() ? "" : " no");
  };
  CHECK(with_layer("WORD.", ended) == "word YES");
  const auto cut = [](both_sides sides) -> task<std::string> {
    sides.plain.out.close();
    auto all = co_await sides.layered.in.read_all();
    co_return shown(std::move(all));
  };
  CHECK(with_layer("WORD", cut) == "error: cut off");
}

TEST_CASE("what a layer cannot encode breaks the writer; a second layer is refused", "[layer]") {
  const auto body = [](both_sides sides) -> task<std::string> {
    auto again = put_layer(sides.layered.in, sides.layered.out, std::make_shared<shouting>());
    auto written = co_await sides.layered.out.write("unsayable");
    if (written.ok() || again.ok()) co_return "no error";
    co_return written.error().message + ", " + error::code_name(again.error().code);
  };
  CHECK(with_layer("", body) == "cannot say that, EBUSY");
}
