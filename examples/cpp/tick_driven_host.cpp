// A game: the host has its own loop and its own time, and gives scripts a slice of each frame. A tick never blocks, starts no
// thread and looks at no clock but the host's, so pause, slow motion and replay just work.
#include <chrono>
#include <cstdio>

#include <perilune/host.hpp>

using namespace std::chrono_literals;

namespace {

// The script knows nothing of frames. It waits, and the world moves on.
constexpr char guard_script[] = R"lua(
  local peri = require "perilune"

  local function say(who, what) print(("%4.1f s  %s %s"):format(peri.now(), who, what)) end

  local patrol = peri.spawn(function()
    for _, place in ipairs { "the gate", "the tower", "the well" } do
      say("guard", "walks to " .. place)
      peri.sleep(1.5)
    end
  end)

  peri.sleep(2)
  say("thief", "makes a noise")
  patrol:cancel("alarm")
  patrol:join()
  say("guard", "runs to the noise")
)lua";

}  // namespace

int main() {
  perilune::manual_clock clock;  // moves only when the game says so
  perilune::host host{{.clock = &clock, .gc = perilune::gc::manual}};

  const auto ai = host.load(guard_script, "=guard");
  if (!ai) {
    std::fprintf(stderr, "%s\n", ai.error().message.c_str());
    return 1;
  }
  const auto guard = host.spawn(*ai);

  int frames = 0;
  for (; !guard.done(); ++frames) {
    const bool paused = frames == 10;  // a pause: the frame passes, game time does not
    if (!paused) clock.advance(100ms);
    const auto report = host.tick({.time = 2ms});                  // what is ready runs; what is not keeps waiting
    if (report.slack > 200us) host.collect_for(report.slack / 4);  // garbage goes in what is left of the frame
  }
  std::printf("%d frames\n", frames);
  return guard.outcome().returned() ? 0 : 1;
}
