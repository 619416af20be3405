// Scripts under the main loop of GLib, as in a program with a user interface: a source that is ready when the host is.
#include <chrono>
#include <cstdio>
#include <string>

#include <glib.h>

#include <perilune/host.hpp>

namespace {

using namespace std::chrono_literals;

struct host_source {
  GSource base;
  const perilune::host* host;
  gpointer descriptor;

  static host_source& of(GSource* source) { return *reinterpret_cast<host_source*>(source); }
};

// How long the loop may wait, rounded up: nothing is due before its deadline.
gboolean prepare(GSource* source, gint* timeout) {
  const auto left = host_source::of(source).host->next_deadline();
  *timeout = left ? static_cast<gint>(std::chrono::ceil<std::chrono::milliseconds>(*left).count()) : -1;
  return *timeout == 0;
}

gboolean check(GSource* source) {
  const host_source& self = host_source::of(source);
  return g_source_query_unix_fd(source, self.descriptor) != 0 || self.host->next_deadline() == 0ns;
}

// A budget keeps the rest of the program responsive; what is left is done in the next round.
gboolean dispatch(GSource* source, GSourceFunc, gpointer) {
  host_source::of(source).host->tick({.time = 5ms});
  return G_SOURCE_CONTINUE;
}

GSourceFuncs functions = {prepare, check, dispatch, nullptr, nullptr, nullptr};

GSource* attach(const perilune::host& host, int descriptor) {
  GSource* source = g_source_new(&functions, sizeof(host_source));
  host_source::of(source).host = &host;
  host_source::of(source).descriptor = g_source_add_unix_fd(source, descriptor, G_IO_IN);
  g_source_attach(source, nullptr);
  return source;
}

// The answer to a script's question, which the loop gives later.
gboolean answer(gpointer question) {
  static_cast<perilune::completion*>(question)->resolve("half past nine");
  return G_SOURCE_REMOVE;
}

constexpr const char* story = R"(local peri = require "perilune"
say("script: " .. peri.process.run { argv = { "echo", "a program has run" } }.stdout:sub(1, -2))
local steps = peri.spawn(function() for i = 1, 3 do peri.sleep(0.01) say("script: step " .. i) end end)
steps:await()
say("script: it is " .. ask("what time is it?")))";

}  // namespace

int main() {
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  {
    perilune::host host{{.hooks = {.done = [loop](const perilune::task_info& task) {
                           if (task.name == "story") g_main_loop_quit(loop);
                         }}}};
    host.define("say", [](const std::string& text) { std::puts(text.c_str()); });
    host.define_async("ask", [](const std::string& question, perilune::completion done) {
      std::printf("loop: asked '%s'\n", question.c_str());
      g_timeout_add_full(G_PRIORITY_DEFAULT, 20, answer, new perilune::completion(done),
                         [](gpointer held) { delete static_cast<perilune::completion*>(held); });
    });
    const auto descriptor = host.poll_fd();
    const auto script = host.load(story, "=story");
    if (!descriptor || !script) return 1;
    GSource* source = attach(host, *descriptor);
    const auto task = host.spawn(*script, {}, "story");
    g_main_loop_run(loop);
    std::printf("loop: the story has %s\n",
                task.outcome().returned() ? "ended" : task.outcome().error().message.c_str());
    g_source_destroy(source);
    g_source_unref(source);
  }
  g_main_loop_unref(loop);
}
