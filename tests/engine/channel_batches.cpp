// Channels of C++ tasks taken from in bulk.
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/select.hpp>

#include "world.hpp"

using namespace perilune;
using perilune::test::world;
using namespace std::chrono_literals;
using list = std::vector<int>;

namespace {

task<list> receive_many(channel<int> from, std::size_t limit) { co_return co_await from.recv_many(limit); }

}  // namespace

TEST_CASE("CHN-25: recv_many takes up to its limit, and nothing only at the end") {
  world w;
  w.run([]() -> task<> {
    const channel<int> pipe(5);
    for (int i = 1; i <= 5; ++i) co_await pipe.send(i);
    const list three = co_await pipe.recv_many(3), none = co_await pipe.recv_many(0);
    CHECK(three == list{1, 2, 3});
    CHECK(none.empty());
    pipe.close();
    const list rest = co_await pipe.recv_many(9), end = co_await pipe.recv_many(9);
    CHECK(rest == list{4, 5});
    CHECK(end.empty());
  });
}

TEST_CASE("CHN-25: recv_many waits for one value and takes what is there by then, from senders too") {
  world w;
  w.run([]() -> task<> {
    const channel<int> pipe(1);
    auto receiver = spawn(receive_many(pipe, 3));
    co_await yield();
    CHECK(receiver.state() == task_state::waiting);
    for (int i = 1; i <= 4; ++i) spawn([](channel<int> to, int v) -> task<> { co_await to.send(v); }(pipe, i));
    const auto& got = co_await receiver.join();
    CHECK(got.value() == list{1, 2, 3});
    const auto left = co_await pipe.recv();
    CHECK(left == 4);
  });
}

TEST_CASE("CHN-25, CAN-32: recv_many that loses or is cancelled takes nothing") {
  world w;
  w.run([]() -> task<> {
    const channel<int> pipe(4);
    const auto lost = co_await select(pipe.recv_many_op(2), sleep_op(1s));
    CHECK(lost.index() == 1);
    auto receiver = spawn(receive_many(pipe, 3));
    co_await yield();
    for (int i = 1; i <= 3; ++i) co_await pipe.send(i);
    receiver.cancel();
    co_await receiver.join();
    const auto won = co_await select(pipe.recv_many_op(2), sleep_op(1s));
    CHECK(std::get<0>(won) == list{1, 2});
  });
}
