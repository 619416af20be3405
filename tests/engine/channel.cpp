// Channels between C++ tasks: capacity, order, closing, and what is counted.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <perilune/channel.hpp>
#include <perilune/select.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> send_noted(channel<int> to, int value, trace& seen) {
  const auto sent = co_await to.send(value);
  seen.push_back((sent ? "sent " : "kept ") + std::to_string(sent ? value : *sent.value));
}

task<> recv_noted(channel<int> from, trace& seen) {
  const auto value = co_await from.recv();
  seen.push_back(value ? "got " + std::to_string(*value) : "end");
}

task<> send_all(channel<int> to, int first, int last) {
  for (int i = first; i <= last; ++i) co_await to.send(i);
}

}  // namespace

TEST_CASE("CHN-01: a full channel holds back senders, who go on in the order in which they came") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(2);
    trace seen;
    for (int i = 1; i <= 4; ++i) spawn(send_noted(ch, i, seen));
    co_await sleep(1ms);
    CHECK(seen == trace{"sent 1", "sent 2"});
    CHECK(ch.size() == 2);
    CHECK(ch.stats().waiting_senders == 2);
    co_await ch.recv();
    co_await sleep(1ms);
    CHECK(seen == trace{"sent 1", "sent 2", "sent 3"});
    co_await ch.recv();
    co_await sleep(1ms);
    CHECK(seen.back() == "sent 4");
  });
}

TEST_CASE("CHN-02: capacity 0 hands over: a send ends when a receiver has the value") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(0);
    trace seen;
    spawn(send_noted(ch, 1, seen));
    co_await sleep(1ms);
    CHECK(seen.empty());
    CHECK(ch.size() == 0);
    CHECK(ch.try_send(2).status == channel_status::full);
    const auto value = co_await ch.recv();
    CHECK(value == 1);
    co_await sleep(1ms);
    CHECK(seen == trace{"sent 1"});
    auto receiver = spawn(recv_noted(ch, seen));
    co_await sleep(1ms);
    CHECK(ch.try_send(3));
    co_await receiver.join();
    CHECK(seen.back() == "got 3");
  });
}

TEST_CASE("CHN-04, CHN-14: what cannot be sent comes back, with the reason") {
  world w;
  w.run([]() -> task<> {
    const channel<std::unique_ptr<int>> ch(1);
    CHECK(ch.try_send(std::make_unique<int>(1)));
    auto full = ch.try_send(std::make_unique<int>(2));
    CHECK(full.status == channel_status::full);
    CHECK(**full.value == 2);
    ch.close();
    auto closed = ch.try_send(std::make_unique<int>(3));
    CHECK(closed.status == channel_status::closed);
    CHECK(**closed.value == 3);
    auto waited = co_await ch.send(std::make_unique<int>(4));
    CHECK(waited.status == channel_status::closed);
    CHECK(**waited.value == 4);
  });
}

TEST_CASE("CHN-05: values sent before the close are delivered, then the end") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(3);
    for (int i = 1; i <= 3; ++i) co_await ch.send(i);
    ch.close();
    for (int i = 1; i <= 3; ++i) {
      const auto value = co_await ch.recv();
      CHECK(value == i);
    }
    const auto end = co_await ch.recv();
    CHECK_FALSE(end);
    CHECK(ch.try_recv().first == channel_status::closed);
  });
}

TEST_CASE("CHN-06: a receive at the end does not wait, and lets others run") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(1);
    ch.close();
    trace seen;
    spawn(note(seen, "ran"));
    for (int i = 0; i < 300; ++i) {
      const auto end = co_await ch.recv();
      CHECK_FALSE(end);
    }
    CHECK(seen == trace{"ran"});
  });
}

TEST_CASE("CHN-08: senders that wait when the channel is closed get their own values back") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(0);
    trace seen;
    for (int i = 1; i <= 3; ++i) spawn(send_noted(ch, i, seen));
    co_await sleep(1ms);
    ch.close();
    co_await sleep(1ms);
    CHECK(seen == trace{"kept 1", "kept 2", "kept 3"});
  });
}

TEST_CASE("CHN-10: receivers that wait when the channel is closed get the end") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(2);
    trace seen;
    for (int i = 0; i < 3; ++i) spawn(recv_noted(ch, seen));
    co_await sleep(1ms);
    CHECK(ch.stats().waiting_receivers == 3);
    ch.close();
    co_await sleep(1ms);
    CHECK(seen == trace{"end", "end", "end"});
    CHECK(ch.stats().waiting_receivers == 0);
  });
}

TEST_CASE("CHN-12: unread values go with the last handle, each once") {
  trace seen;
  {
    world w;
    w.run([&]() -> task<> {
      const channel<closer> ch(4);
      co_await ch.send(closer(seen, "a"));
      co_await ch.send(closer(seen, "b"));
      ch.close();
      CHECK(seen.empty());
    });
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == trace{"a", "b"});
}

TEST_CASE("CHN-13: closing twice is closing once") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(1);
    co_await ch.send(1);
    ch.close();
    ch.close();
    CHECK(ch.closed());
    const auto value = co_await ch.recv();
    CHECK(value == 1);
  });
}

TEST_CASE("CHN-15: what was sent is there") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(1);
    for (int i = 0; i < 300; ++i) {
      auto sender = spawn(send_all(ch, i, i));
      co_await sender.join();
      CHECK(ch.try_recv().second == i);
    }
  });
}

TEST_CASE("CHN-18: a sender that is cancelled while it waits is skipped") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(0);
    trace seen;
    std::vector<task_handle<void>> senders;
    for (int i = 1; i <= 3; ++i) senders.push_back(spawn(send_noted(ch, i, seen)));
    co_await sleep(1ms);
    senders[0].cancel();
    const auto value = co_await ch.recv();
    CHECK(value == 2);
    co_await sleep(1ms);
    CHECK(seen == trace{"sent 2"});
    CHECK(ch.stats().waiting_senders == 1);
    senders[2].cancel();
  });
}

TEST_CASE("CHN-24: the counts add up, whatever waits") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(2);
    spawn(send_all(ch, 1, 5));
    co_await sleep(1ms);
    channel_stats stats = ch.stats();
    CHECK(stats.capacity == 2);
    CHECK(stats.length == 2);
    CHECK(stats.peak == 2);
    CHECK(stats.sends == 2);
    CHECK(stats.waiting_senders == 1);
    for (int i = 0; i < 5; ++i) co_await ch.recv();
    stats = ch.stats();
    CHECK(stats.length == 0);
    CHECK(stats.peak == 2);
    CHECK(stats.sends == 5);
    CHECK(stats.recvs == 5);
    CHECK(stats.waiting_senders == 0);
  });
}

TEST_CASE("CHN-25: recv_many takes up to its limit, and nothing at the end") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(8);
    for (int i = 1; i <= 5; ++i) co_await ch.send(i);
    const auto none = co_await ch.recv_many(0);
    CHECK(none.empty());
    const auto three = co_await ch.recv_many(3);
    CHECK(three == std::vector<int>{1, 2, 3});
    ch.close();
    const auto rest = co_await ch.recv_many(3);
    CHECK(rest == std::vector<int>{4, 5});
    const auto end = co_await ch.recv_many(3);
    CHECK(end.empty());
  });
}

TEST_CASE("CHN-29: each sender's values keep their order") {
  world w;
  w.run([]() -> task<> {
    const channel<int> ch(3);
    for (int producer = 0; producer < 4; ++producer) spawn(send_all(ch, producer * 100, producer * 100 + 49));
    std::vector<int> next{0, 100, 200, 300};
    for (int i = 0; i < 200; ++i) {
      const auto value = co_await ch.recv();
      const auto producer = static_cast<std::size_t>(*value / 100);
      CHECK(*value == next[producer]++);
    }
  });
}

TEST_CASE("SEL-01, SEL-07: a select takes one value, and a send that loses is not made") {
  world w;
  w.run([]() -> task<> {
    const channel<int> a(1), b(1), full(0);
    co_await a.send(1);
    co_await b.send(2);
    const auto got = co_await select(a.recv_op(), b.recv_op(), full.send_op(3));
    CHECK(got.index() < 2);
    CHECK(a.size() + b.size() == 1);
    CHECK(full.stats().waiting_senders == 0);
    CHECK(full.stats().sends == 0);
  });
}

TEST_CASE("SEL-05, SEL-06: no arm stays behind, neither of a select that has won nor of one that was cancelled") {
  world w;
  w.run([]() -> task<> {
    const channel<int> a(0), b(0), c(0);
    auto waits = [](channel<int> x, channel<int> y, channel<int> z) -> task<std::size_t> {
      const auto got = co_await select(x.recv_op(), y.recv_op(), z.send_op(1));
      co_return got.index();
    };
    auto winner = spawn(waits(a, b, c));
    auto cancelled = spawn(waits(a, b, c));
    co_await sleep(1ms);
    CHECK(a.stats().waiting_receivers == 2);
    CHECK(b.try_send(7));
    cancelled.cancel();
    const auto& end = co_await winner.join();
    CHECK(end.value() == 1);
    const auto& other = co_await cancelled.join();
    CHECK(other.cancelled());
    CHECK(a.stats().waiting_receivers + b.stats().waiting_receivers + c.stats().waiting_senders == 0);
  });
}

TEST_CASE("SEL-14: a send to a closed channel wins, and gives the value back") {
  world w;
  w.run([]() -> task<> {
    const channel<int> closed(0), silent(0);
    closed.close();
    const auto got = co_await select(silent.recv_op(), closed.send_op(5));
    REQUIRE(got.index() == 1);
    CHECK(std::get<1>(got).status == channel_status::closed);
    CHECK(std::get<1>(got).value == 5);
  });
}
