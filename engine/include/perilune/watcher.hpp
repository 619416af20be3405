// Watching what happens to a file or in a folder. A watcher keeps what has happened, in order, until somebody takes it.
// Handles share it; it belongs to the worker where it was first used, and closes with its last handle.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <perilune/clock.hpp>
#include <perilune/fs.hpp>

namespace perilune::fs {

namespace detail {
class watch_state;
}

// What has happened at a path.
enum class watch_kind : unsigned char {
  created,   // also what was moved here from outside
  modified,  // content, mode, times
  removed,   // also what was moved away
  renamed,   // inside what is watched
  overflow,  // what happened at or below `path` may be missing: look again
};

// "created", "modified", ... Static storage.
const char* to_string(watch_kind kind) noexcept;

// Something has happened in a watched tree.
struct watch_event {
  // What has happened; `overflow`: too much at once to say.
  watch_kind kind = watch_kind::overflow;
  std::string path{};              // begins as the watched path was given
  std::string from{};              // renamed: the old path
  std::optional<error> problem{};  // overflow: why, where that is known
};

// What is watched, and how much at once.
struct watch_options {
  bool recursive = false;  // folders below too, also those made or moved in later; not through symbolic links
  // Events are held until none has come for so long, at most ten times as long, and what happened to one path is told
  // once. Real time, whatever the runtime's clock.
  duration debounce{0};
  std::size_t longest_queue = 65536;  // events nobody has taken; later ones become one overflow
};

// Waits for the next event. May be used again, and by several waiters, each of whom gets a different event.
class watch_operation final : public operation {
 public:
  explicit watch_operation(std::shared_ptr<detail::watch_state> from) noexcept : state_(std::move(from)) {}

  bool try_now(waiter&);
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override;
  bool give_back(waiter&) noexcept override;
  wait_description describe() const noexcept override { return {"next", "watcher", state_.get()}; }
  // Nothing when the watcher was closed, or when what it watched is gone and everything was taken.
  std::optional<watch_event> take_result();

  auto operator co_await() && { return perilune::detail::awaiter<watch_operation>(std::move(*this)); }

 private:
  std::shared_ptr<detail::watch_state> state_;
};

class watcher {
 public:
  explicit watcher(std::shared_ptr<detail::watch_state> state) noexcept : state_(std::move(state)) {}

  // Waits for the next event; nothing when it is closed.
  watch_operation next() const noexcept { return watch_operation(state_); }
  // Drops what nobody has taken; waiting receivers see the end. Idempotent.
  void close() const noexcept;

 private:
  std::shared_ptr<detail::watch_state> state_;
};

// Everything that happens from now on. A file is watched by its name: one that is replaced or made anew goes on.
pending<watcher> watch(std::string path, const watch_options& options = {});

}  // namespace perilune::fs
