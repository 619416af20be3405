// Scripts under a loop of libuv: a poll handle for the host's descriptor, a timer for its deadline, and before each wait a look
// at how long that may last.
#include <chrono>
#include <cstdio>
#include <string>

#include <uv.h>

#include <perilune/host.hpp>

namespace {

using namespace std::chrono_literals;

class driver {
 public:
  driver(uv_loop_t* loop, const perilune::host& host, int descriptor) : host_(host) {
    uv_poll_init(loop, &readable_, descriptor);
    uv_timer_init(loop, &deadline_);
    uv_prepare_init(loop, &before_wait_);
    readable_.data = deadline_.data = before_wait_.data = this;
    uv_poll_start(&readable_, UV_READABLE, [](uv_poll_t* at, int, int) { of(at).tick(); });
    uv_prepare_start(&before_wait_, [](uv_prepare_t* at) { of(at).set_deadline(); });
  }
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;

  // The loop ends when nothing else is left in it.
  void close() {
    for (auto* handle : {reinterpret_cast<uv_handle_t*>(&readable_), reinterpret_cast<uv_handle_t*>(&deadline_),
                         reinterpret_cast<uv_handle_t*>(&before_wait_)})
      uv_close(handle, nullptr);
  }

 private:
  static driver& of(const auto* handle) { return *static_cast<driver*>(handle->data); }

  // A budget keeps the rest of the program responsive; what is left is done in the next round.
  void tick() { host_.tick({.time = 5ms}); }
  // Rounded up: nothing is due before its deadline.
  void set_deadline() {
    const auto left = host_.next_deadline();
    if (!left) return static_cast<void>(uv_timer_stop(&deadline_));
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*left).count();
    uv_timer_start(&deadline_, [](uv_timer_t* at) { of(at).tick(); }, static_cast<std::uint64_t>(ms), 0);
  }

  const perilune::host& host_;
  uv_poll_t readable_;
  uv_timer_t deadline_;
  uv_prepare_t before_wait_;
};

// A question of a script's, which the loop answers later.
struct question {
  uv_timer_t timer;
  perilune::completion done;
};

void ask(uv_loop_t* loop, const perilune::completion& done) {
  auto* asked = new question{{}, done};
  uv_timer_init(loop, &asked->timer);
  asked->timer.data = asked;
  const auto answer = [](uv_timer_t* timer) {
    static_cast<question*>(timer->data)->done.resolve("half past nine");
    uv_close(reinterpret_cast<uv_handle_t*>(timer),
             [](uv_handle_t* closed) { delete static_cast<question*>(closed->data); });
  };
  uv_timer_start(&asked->timer, answer, 20, 0);
}

constexpr const char* story = R"(local peri = require "perilune"
say("script: " .. peri.process.run { argv = { "echo", "a program has run" } }.stdout:sub(1, -2))
local steps = peri.spawn(function() for i = 1, 3 do peri.sleep(0.01) say("script: step " .. i) end end)
steps:await()
say("script: it is " .. ask("what time is it?")))";

}  // namespace

int main() {
  uv_loop_t* loop = uv_default_loop();
  {
    driver* driving = nullptr;
    perilune::host host{{.hooks = {.done = [&driving](const perilune::task_info& task) {
                           if (task.name == "story") driving->close();
                         }}}};
    host.define("say", [](const std::string& text) { std::puts(text.c_str()); });
    host.define_async("ask", [loop](const std::string& text, perilune::completion done) {
      std::printf("loop: asked '%s'\n", text.c_str());
      ask(loop, done);
    });
    const auto descriptor = host.poll_fd();
    const auto script = host.load(story, "=story");
    if (!descriptor || !script) return 1;
    driver drive(loop, host, *descriptor);
    driving = &drive;
    const auto task = host.spawn(*script, {}, "story");
    uv_run(loop, UV_RUN_DEFAULT);
    std::printf("loop: the story has %s\n",
                task.outcome().returned() ? "ended" : task.outcome().error().message.c_str());
  }
  uv_loop_close(loop);
}
