// A small game in a terminal: 60 frames a second, creatures that are Lua tasks, and a graph of what scripts and the collector took
// of each frame. Keys: arrows move, p pauses, s is slow motion, k removes a creature, r loads creatures.lua again, q or ^C quits.
//
//   game [--frames N] [--record FILE | --replay FILE] FOLDER-OF-CREATURES.LUA
//
// A recorded session runs again, also when creatures.lua has been changed since: what the player did comes from the record, and so
// do the scripts that were loaded. The first difference would be named.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <curses.h>

#include <perilune/replay.hpp>

using namespace std::chrono_literals;
using perilune::value;

namespace {

constexpr int width = 60;
constexpr int height = 16;
constexpr auto frame_time = 16'666'667ns;

struct creature {
  char shown;
  int x, y;
  perilune::task_group life;  // its tasks; they end when the creature goes
};

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class game {
 public:
  explicit game(std::string folder) : folder_(std::move(folder)) {
    host_.define("game.move", [this](int id, int dx, int dy) { move(id, dx, dy); });
    host_.define("game.say", [this](std::string text) { said_ = std::move(text); });
    host_.define("game.towards_player", [this](int id) { return towards_player(id); });
    const auto live = host_.load("local kind, me = ... require('creatures').live(kind, me)", "=life");
    if (live) life_ = *live;
  }

  // Loads creatures.lua as it is now, in the session, so that the record has it.
  void load() {
    const auto text = read_file(folder_ + "/creatures.lua");
    if (text)
      session_.input(perilune::table({{"what", "load"}, {"text", *text}}));
    else
      said_ = "cannot read " + folder_ + "/creatures.lua";
  }
  bool populated() const noexcept { return !creatures_.empty(); }
  const std::string& said() const noexcept { return said_; }

  perilune::session& session() noexcept { return session_; }
  // Runs scripts for one frame, and collects in what is left of it.
  void frame(perilune::duration by) {
    const auto begun = std::chrono::steady_clock::now();
    session_.tick(by);
    const auto ran = std::chrono::steady_clock::now();
    host_.collect_for(std::min<perilune::duration>(2ms, frame_time - (ran - begun)));
    took_[frames_++ % took_.size()] = {ran - begun, std::chrono::steady_clock::now() - ran};
  }

  void draw(const char* mode) const {
    erase();
    for (int y = 0; y < height; ++y) mvaddch(y + 1, width + 1, '|');
    for (const auto& [id, each] : creatures_) mvaddch(each.y + 1, each.x + 1, static_cast<chtype>(each.shown));
    mvaddch(player_y_ + 1, player_x_ + 1, '@');
    mvprintw(0, 0, "frame %zu  %s  tasks %llu  memory %zu KiB", frames_, mode,
             static_cast<unsigned long long>(host_.live_tasks()), host_.memory_used() / 1024);
    mvprintw(height + 1, 0, "arrows move, p pauses, s is slow motion, k removes one, r reloads, q quits");
    draw_graph();
    mvaddnstr(height + 7, 0, said_.c_str(), static_cast<int>(std::min(said_.find('\n'), std::size_t{79})));
    refresh();
  }

  void apply(const value& input) {
    const std::string what = *input["what"].as<std::string>();
    if (what == "move") {
      player_x_ = std::clamp(player_x_ + *input["dx"].as<int>(), 0, width - 1);
      player_y_ = std::clamp(player_y_ + *input["dy"].as<int>(), 0, height - 1);
    } else if (what == "kill" && !creatures_.empty()) {
      creatures_.erase(creatures_.begin());
    } else if (what == "load") {
      source_ = *input["text"].as<std::string>();
      if (begun_)
        reload();
      else
        populate();
    }
  }
  std::size_t frames() const noexcept { return frames_; }

 private:
  struct spent {
    perilune::duration scripts, collector;
  };

  void populate() {
    const auto check = host_.load("require 'creatures'");
    const auto end = host_.run(*check);
    begun_ = end.returned();
    if (!begun_) return static_cast<void>(said_ = end.error().message);
    for (int i = 0; i < 12; ++i) add(i % 3 == 0 ? "wolf" : "rabbit", i);
  }
  void reload() {
    const auto loaded = host_.reload("creatures");
    const std::string why = loaded ? "" : loaded.error().message;
    said_ = loaded ? "reloaded" : "not reloaded: " + why.substr(why.find_last_of('\t') + 1);
  }
  void add(const char* kind, int id) {
    creature made{*kind, (id * 13) % width, (id * 7) % height, host_.make_group(kind)};
    made.life.spawn(life_, {kind, id});
    creatures_.emplace_back(id, std::move(made));
  }
  creature* find(int id) {
    for (auto& [each, c] : creatures_)
      if (each == id) return &c;
    return nullptr;
  }
  void move(int id, int dx, int dy) {
    creature* c = find(id);
    if (!c) return;
    c->x = std::clamp(c->x + dx, 0, width - 1);
    c->y = std::clamp(c->y + dy, 0, height - 1);
  }
  std::tuple<int, int> towards_player(int id) {
    const creature* c = find(id);
    if (!c || std::abs(c->x - player_x_) > 8 || std::abs(c->y - player_y_) > 4) return {0, 0};
    const auto sign = [](int n) { return (n > 0) - (n < 0); };
    return {sign(player_x_ - c->x), sign(player_y_ - c->y)};
  }
  // A column for each of the last frames: '#' a tenth of a millisecond of scripts, '+' one of the collector, '^' what has no room.
  void draw_graph() const {
    constexpr int rows = 4;
    const auto tenths = [](perilune::duration d) { return static_cast<int>((d + 50us) / 100us); };
    const auto ms = [](perilune::duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
    spent most{};
    for (std::size_t i = 0; i < took_.size(); ++i) {
      const spent& each = took_[(frames_ + i) % took_.size()];
      most = {std::max(most.scripts, each.scripts), std::max(most.collector, each.collector)};
      const int scripts = tenths(each.scripts), both = scripts + tenths(each.collector);
      for (int row = 0; row < std::clamp(both, 1, rows); ++row)
        mvaddch(height + 6 - row, static_cast<int>(i),
                both == 0                        ? '_'
                : row == rows - 1 && both > rows ? '^'
                : row < scripts                  ? '#'
                                                 : '+');
    }
    mvprintw(height + 2, 0, "0.1 ms a row: # scripts, most %.2f; + collector, most %.2f; of 16.67 ms", ms(most.scripts),
             ms(most.collector));
  }

  std::string folder_;
  std::string source_;  // of the creatures
  std::string said_;
  bool begun_ = false;
  perilune::manual_clock clock_;
  perilune::host host_{{.clock = &clock_,
                        .limits = {.memory = 32 << 20, .max_tasks = 10'000},
                        .gc = perilune::gc::manual,
                        .seed = 7,
                        .deterministic = true,
                        .load_module = [this](std::string_view name) -> std::optional<perilune::module_source> {
                          if (name != "creatures") return std::nullopt;
                          return perilune::module_source{source_, "@creatures.lua"};
                        },
                        .report = [this](const std::string& text) { said_ = text; }}};
  perilune::session session_{host_, clock_, {.apply = [this](const value& input) { apply(input); }}};
  perilune::script life_;
  std::vector<std::pair<int, creature>> creatures_;
  int player_x_ = width / 2, player_y_ = height / 2;
  std::array<spent, 60> took_{};
  std::size_t frames_ = 0;
};

struct command_line {
  std::string folder, record, replay;
  std::size_t frames = SIZE_MAX;
};

std::optional<command_line> read(int argc, char** argv) {
  command_line line;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--frames" && i + 1 < argc)
      line.frames = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--record" && i + 1 < argc)
      line.record = argv[++i];
    else if (word == "--replay" && i + 1 < argc)
      line.replay = argv[++i];
    else if (line.folder.empty() && !word.starts_with("--"))
      line.folder = word;
    else
      return std::nullopt;
  }
  if (line.folder.empty()) return std::nullopt;
  return line;
}

value action(const char* what, int dx = 0, int dy = 0) {
  return perilune::table({{"what", what}, {"dx", dx}, {"dy", dy}});
}

void play(game& g, std::size_t frames) {
  bool paused = false, slow = false;
  auto next = std::chrono::steady_clock::now();
  while (g.frames() < frames) {
    for (int key = getch(); key != ERR; key = getch()) {
      if (key == 'q' || key == '\3') return;
      if (key == 'p') paused = !paused;
      if (key == 's') slow = !slow;
      if (key == 'k') g.session().input(action("kill"));
      if (key == 'r') g.load();
      if (key == KEY_LEFT) g.session().input(action("move", -1, 0));
      if (key == KEY_RIGHT) g.session().input(action("move", 1, 0));
      if (key == KEY_UP) g.session().input(action("move", 0, -1));
      if (key == KEY_DOWN) g.session().input(action("move", 0, 1));
    }
    g.frame(paused ? 0ns : slow ? frame_time / 4 : frame_time);
    g.draw(paused ? "paused" : slow ? "slow" : "runs");
    std::this_thread::sleep_until(next += frame_time);
  }
}

int replay(game& g, const std::string& path) {
  const auto record = read_file(path);
  const auto end =
      record ? g.session().replay(*record) : perilune::error{perilune::error_kind::io, "cannot read " + path, 0, {}};
  if (!end) return std::fprintf(stderr, "%s\n", end.error().message.c_str()), 2;
  if (*end) return std::printf("the run is not the recorded one: %s\n", (*end)->text().c_str()), 1;
  std::printf("the same run, state %016llx\n", static_cast<unsigned long long>(g.session().state_hash()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto line = read(argc, argv);
  if (!line) return std::fputs("usage: game [--frames N] [--record FILE | --replay FILE] FOLDER\n", stderr), 2;
  game g(line->folder);
  if (!line->replay.empty()) return replay(g, line->replay);
  g.load();
  if (!g.populated()) return std::fprintf(stderr, "%s\n", g.said().c_str()), 1;
  initscr();
  raw();
  noecho();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  curs_set(0);
  play(g, line->frames);
  endwin();
  if (!line->record.empty()) std::ofstream(line->record, std::ios::binary) << g.session().record();
  std::printf("%zu frames, state %016llx\n", g.frames(), static_cast<unsigned long long>(g.session().state_hash()));
  return 0;
}
