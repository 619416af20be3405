// Patterns of names and paths. See fs.hpp.
#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include <perilune/fs.hpp>

#include "fs_calls.hpp"
#include "tree_walk.hpp"

namespace perilune::fs {

namespace {

using way = detail::tree_walk::way;

// One character of UTF-8, or one byte of what is none.
std::string_view character(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::size_t size = 1;
  while (size < length && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) ++size;
  return text.substr(0, size == length ? size : 1);
}

// Matches "[...]" at the front of the pattern against one character, and moves behind it. A bracket that is never closed
// is a plain character.
bool set_matches(std::string_view& pattern, std::string_view one) noexcept {
  std::string_view rest = pattern.substr(1);
  const bool negated = !rest.empty() && (rest[0] == '!' || rest[0] == '^');
  if (negated) rest.remove_prefix(1);
  bool found = false;
  for (bool first = true; !rest.empty() && (first || rest[0] != ']'); first = false) {
    const std::string_view from = character(rest);
    rest.remove_prefix(from.size());
    std::string_view to = from;
    if (rest.size() >= 2 && rest[0] == '-' && rest[1] != ']') {
      to = character(rest.substr(1));
      rest.remove_prefix(1 + to.size());
    }
    if (one >= from && one <= to) found = true;
  }
  if (rest.empty()) {
    const bool bracket = one == "[";
    pattern.remove_prefix(1);
    return bracket;
  }
  pattern = rest.substr(1);
  return found != negated;
}

// Matches the front of the pattern, which is no star, against one character and moves behind it.
bool one_matches(std::string_view& pattern, std::string_view one) noexcept {
  if (pattern[0] == '?') {
    pattern.remove_prefix(1);
    return true;
  }
  if (pattern[0] == '[') return set_matches(pattern, one);
  if (pattern[0] == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
  const std::string_view literal = character(pattern);
  pattern.remove_prefix(literal.size());
  return literal == one;
}

bool has_wildcard(std::string_view part) noexcept { return part.find_first_of("*?[\\") != std::string_view::npos; }

// A pattern cut at its slashes. A set of places in it says how far a path has matched: place n means that parts 0..n-1
// are used up.
class path_pattern {
 public:
  explicit path_pattern(std::string_view pattern) {
    only_folders_ = pattern.size() > 1 && pattern.back() == '/';
    while (!pattern.empty()) {
      const std::size_t slash = std::min(pattern.find('/'), pattern.size());
      if (slash > 0) parts_.emplace_back(pattern.substr(0, slash));
      pattern.remove_prefix(std::min(slash + 1, pattern.size()));
    }
  }
  struct places {
    std::vector<std::size_t> at;
    bool named = false;  // the last name was matched by a part of its own, not only by "**", and parts are left
  };

  bool only_folders() const noexcept { return only_folders_; }
  // The parts without wildcards at the front, which a walk can start below. The last part is never one of them.
  std::size_t plain_parts() const noexcept {
    std::size_t n = 0;
    while (n + 1 < parts_.size() && !has_wildcard(parts_[n])) ++n;
    return n;
  }
  const std::string& part(std::size_t n) const noexcept { return parts_[n]; }
  std::size_t size() const noexcept { return parts_.size(); }
  std::size_t depth_limit() const noexcept {
    const bool any_depth = std::find(parts_.begin(), parts_.end(), "**") != parts_.end();
    return any_depth ? unlimited : parts_.size() - plain_parts();
  }

  places after(std::string_view path, std::size_t from) const {
    places now{closed({from})};
    while (!path.empty() && !now.at.empty()) {
      const std::size_t slash = std::min(path.find('/'), path.size());
      now = step(now, path.substr(0, slash));
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return now;
  }
  bool complete(const places& now) const noexcept {
    return std::find(now.at.begin(), now.at.end(), parts_.size()) != now.at.end();
  }
  // Whether what is below may match. Links are gone through where the pattern names them.
  way way_below(const places& now) const noexcept {
    if (now.named) return way::list_through_link;
    const bool parts_left =
        std::any_of(now.at.begin(), now.at.end(), [this](std::size_t p) { return p < parts_.size(); });
    return parts_left ? way::list : way::skip;
  }

 private:
  static void add(std::vector<std::size_t>& at, std::size_t place) {
    if (std::find(at.begin(), at.end(), place) == at.end()) at.push_back(place);
  }
  std::vector<std::size_t> closed(std::vector<std::size_t> at) const {
    for (std::size_t i = 0; i < at.size(); ++i)
      if (at[i] < parts_.size() && parts_[at[i]] == "**") add(at, at[i] + 1);
    return at;
  }
  places step(const places& now, std::string_view name) const {
    places next;
    for (const std::size_t place : now.at) {
      if (place == parts_.size()) continue;
      if (parts_[place] == "**") {
        if (name[0] != '.') add(next.at, place);
      } else if (name_matches(parts_[place], name)) {
        add(next.at, place + 1);
        next.named = next.named || place + 1 < parts_.size();
      }
    }
    next.at = closed(std::move(next.at));
    return next;
  }

  std::vector<std::string> parts_;
  bool only_folders_ = false;
};

std::string unescaped(std::string_view part) {
  std::string text;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\' && i + 1 < part.size()) ++i;
    text += part[i];
  }
  return text;
}

bool is_folder(const std::string& path) noexcept {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// A pattern without wildcards is a path.
std::vector<std::string> one_path(const path_pattern& pattern, std::string path, const std::string& on_disk) {
  struct stat info;
  const bool there = ::lstat(on_disk.c_str(), &info) == 0 && (!pattern.only_folders() || is_folder(on_disk));
  return there ? std::vector{std::move(path)} : std::vector<std::string>();
}

result<std::vector<std::string>> expand(const std::string& text, const std::string& folder) {
  const path_pattern pattern(text);
  if (pattern.size() == 0) return text.empty() ? std::vector<std::string>() : std::vector<std::string>{"/"};
  const bool absolute = text[0] == '/';
  const std::size_t plain = pattern.plain_parts();
  std::string prefix = absolute ? "/" : "";
  for (std::size_t i = 0; i < plain; ++i) prefix += unescaped(pattern.part(i)) + "/";
  const std::string root = absolute ? prefix : folder + "/" + prefix;
  if (plain + 1 == pattern.size() && pattern.part(plain).find_first_of("*?[") == std::string::npos) {
    const std::string name = unescaped(pattern.part(plain));
    return one_path(pattern, prefix + name, root + name);
  }
  const auto below_root = [&](const walk_entry& entry) { return std::string_view(entry.path).substr(root.size()); };
  detail::tree_walk walk(root, {.max_depth = pattern.depth_limit()}, [&](const walk_entry& entry) {
    return pattern.way_below(pattern.after(below_root(entry), plain));
  });
  std::vector<std::string> found;
  if (auto begun = walk.begin(); !begun.ok()) {
    const int code = begun.error().code;
    if (code == ENOENT || code == ENOTDIR) return found;
    return std::move(begun).error();
  }
  for (walk_entry entry; walk.next(entry);) {
    if (!pattern.complete(pattern.after(below_root(entry), plain))) continue;
    if (pattern.only_folders() && entry.type != file_type::directory && !is_folder(entry.path)) continue;
    found.push_back(prefix + std::string(below_root(entry)));
  }
  return found;
}

}  // namespace

bool name_matches(std::string_view pattern, std::string_view name) noexcept {
  if (!name.empty() && name[0] == '.' && (pattern.empty() || (pattern[0] != '.' && !pattern.starts_with("\\."))))
    return false;
  std::string_view star, retry;
  bool starred = false;
  while (!name.empty()) {
    if (!pattern.empty() && pattern[0] == '*') {
      pattern.remove_prefix(1);
      star = pattern, retry = name;
      starred = true;
      continue;
    }
    const std::string_view one = character(name);
    if (!pattern.empty() && one_matches(pattern, one)) {
      name.remove_prefix(one.size());
    } else if (starred) {
      retry.remove_prefix(character(retry).size());
      pattern = star, name = retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*') == std::string_view::npos;
}

pending<std::vector<std::string>> glob(std::string pattern, std::string folder) {
  return pending<std::vector<std::string>>(
      {.name = "glob", .crew = blocking_crew::files, .abandonable = true},
      [pattern = std::move(pattern), folder = std::move(folder)]() -> result<std::vector<std::string>> {
        if (auto bad = calls::bad_path(pattern)) return *std::move(bad);
        return expand(pattern, folder);
      });
}

}  // namespace perilune::fs
