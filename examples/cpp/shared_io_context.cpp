// One loop for two: a program that has an asio::io_context already runs its tasks on it. There is no second loop, no second
// thread and no lock; asio's completions and the tasks take turns.
#include <chrono>
#include <cstdio>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <perilune/asio.hpp>
#include <perilune/channel.hpp>
#include <perilune/runtime.hpp>
#include <perilune/timer.hpp>

using namespace std::chrono_literals;
using perilune::channel;
using perilune::task;

namespace {

// What asio's side hands over. Both sides run on the same thread, so a plain channel does.
task<> read_events(channel<int> events) {
  while (const auto event = co_await events.recv()) {
    std::printf("task: event %d\n", *event);
    co_await perilune::sleep(1ms);
  }
  std::printf("task: no more events\n");
}

// The program's own side: a timer that fires three times, in the way of asio.
class ticker {
 public:
  ticker(asio::io_context& io, perilune::runtime& rt, channel<int> events) : timer_(io), rt_(rt), events_(events) {
    arm();
  }

 private:
  void arm() {
    timer_.expires_after(10ms);
    timer_.async_wait([this](const asio::error_code&) { fire(); });
  }
  // A completion is no task, so it may not wait. post() is the door for everything outside: it calls the function
  // between two tasks, and may be used by any thread.
  void fire() {
    std::printf("asio: tick %d\n", ++ticks_);
    rt_.post(0, [events = events_, tick = ticks_] {
      events.try_send(tick);
      if (tick == 3) events.close();
    });
    if (ticks_ < 3) arm();
  }

  asio::steady_timer timer_;
  perilune::runtime& rt_;
  channel<int> events_;
  int ticks_ = 0;
};

}  // namespace

int main() {
  asio::io_context io;
  perilune::runtime rt(perilune::join(io.get_executor()));  // made on the loop, never runs by itself

  const channel<int> events(8);
  const auto reader = rt.spawn(read_events(events));
  const ticker ticks(io, rt, events);

  io.run();  // returns when neither side has anything left to do
  std::printf("reader returned: %s\n", reader.outcome_now().returned() ? "yes" : "no");
}
