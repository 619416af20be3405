// What a task was given, or gave, when it is cancelled: it goes back, to the next in line, in order; or it is returned,
// where it cannot; also while its destructors run.
#include <perilune/cancel.hpp>

#include <string>
#include <vector>

#include <perilune/channel.hpp>

#include "engine/world.hpp"

using namespace perilune;
using namespace perilune::test;

namespace {

task<> receive_into(channel<int> from, trace& seen) {
  const auto value = co_await from.recv();
  seen.push_back(value ? "got " + std::to_string(*value) : "end");
}

task<> send_then_note(channel<int> to, int value, trace& seen) {
  const bool sent = static_cast<bool>(co_await to.send(value));
  seen.push_back(sent ? "sent" : "refused");
  co_await yield();
  seen.push_back("after");
}

}  // namespace

TEST_CASE("CAN-32: a value granted to a receiver that is cancelled goes back to the head") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    channel<int> c(2);
    auto receiver = spawn(receive_into(c, seen));
    co_await yield();
    co_await c.send(1);
    co_await c.send(2);
    receiver.cancel();
    co_await receiver.join();
    CHECK(receiver.outcome_now().cancelled());
    CHECK(c.size() == 2);
    const auto received_1 = co_await c.recv();
    CHECK(received_1 == 1);
    const auto received_2 = co_await c.recv();
    CHECK(received_2 == 2);
  });
  CHECK(seen.empty());
}

TEST_CASE("CAN-32: a value given back goes to the next receiver in line") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    channel<int> c(0);
    auto first = spawn(receive_into(c, seen));
    auto second = spawn(receive_into(c, seen));
    co_await yield();
    CHECK(c.try_send(7));
    first.cancel();
    co_await first.join();
    co_await second.join();
  });
  CHECK(seen == trace{"got 7"});
}

TEST_CASE("CAN-32: values given back together keep their order") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    channel<int> c(4);
    std::vector<task_handle<void>> receivers;
    for (int i = 0; i < 3; ++i) receivers.push_back(spawn(receive_into(c, seen)));
    co_await yield();
    for (int i = 1; i <= 5; ++i) CHECK(c.try_send(i));
    for (const auto& r : receivers) r.cancel();
    for (const auto& r : receivers) co_await r.join();
    CHECK(c.size() == 5);
    for (int i = 1; i <= 5; ++i) {
      const auto received = co_await c.recv();
      CHECK(received == i);
    }
  });
  CHECK(seen.empty());
}

TEST_CASE("CAN-33: what cannot be taken back is returned, and cancellation comes at the next suspension") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    channel<int> c(0);
    auto sender = spawn(send_then_note(c, 5, seen));
    co_await yield();
    CHECK(*c.try_recv().second == 5);
    sender.cancel();
    co_await sender.join();
    CHECK(sender.outcome_now().cancelled());
    CHECK(seen == trace{"sent"});

    auto target = spawn(value_of(9));
    auto joiner = spawn([](task_handle<int> whom, trace& s) -> task<> {
      s.push_back("joined " + std::to_string((co_await whom.join()).value()));
      co_await yield();
      s.push_back("after");
    }(target, seen));
    auto killer = spawn([](task_handle<void> whom) -> task<> {
      whom.cancel();
      co_return;
    }(joiner));
    co_await killer.join();
    co_await joiner.join();
    CHECK(seen.back() != "after");
  });
}

TEST_CASE("CAN-35: a destructor may cancel, spawn, close and grant while its task is cancelled") {
  world w;
  trace seen;
  w.run([&]() -> task<> {
    channel<int> c(0);
    task_handle<void> self;
    struct busy {
      task_handle<void>* own;
      channel<int> ch;
      trace* seen;
      ~busy() {
        own->cancel("again");
        ch.close();
        spawn(note(*seen, "child of a cancelled task"));
      }
    };
    auto waiting = spawn(receive_into(c, seen));
    self = spawn([](task_handle<void>& own, channel<int> ch, trace& s) -> task<> {
      const busy guard{&own, ch, &s};
      co_await sleep(1h);
    }(self, c, seen));
    co_await yield();
    self.cancel("once");
    co_await self.join();
    CHECK(self.outcome_now().reason()->text == "once");
    co_await waiting.join();
  });
  CHECK(seen == trace{"end"});
}
