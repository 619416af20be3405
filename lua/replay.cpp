// The record of a session. See <perilune/replay.hpp>.
//
// It is lines: `input VALUE`, `tick NANOSECONDS HASH`, and before each tick what the state has gained (`+`) and lost (`-`), so that a
// difference can be named and not only noticed. A line of the state, like a value, is written so that any bytes may be in it.
#include <perilune/replay.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace perilune {

namespace {

constexpr std::string_view first_line = "perilune session 1\n";

void write(std::string& out, const value& v);

void write_text(std::string& out, std::string_view text) {
  out += 's';
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

void write_table(std::string& out, const table& t) {
  out += '{';
  for (const value& each : t.items) write(out, each);
  std::vector<std::string> fields;
  for (const auto& [key, field] : t.fields) {
    std::string& written = fields.emplace_back("=");
    write(written, key);
    write(written, field);
  }
  std::sort(fields.begin(), fields.end());
  for (const std::string& each : fields) out += each;
  out += '}';
}

void write(std::string& out, const value& v) {
  char number[48];
  if (v.boolean()) {
    out += *v.boolean() ? 't' : 'f';
  } else if (v.integer()) {
    out += 'i' + std::to_string(*v.integer()) + ';';
  } else if (v.number()) {
    std::snprintf(number, sizeof number, "d%a;", *v.number());
    out += number;
  } else if (v.string()) {
    write_text(out, *v.string());
  } else if (v.fields()) {
    write_table(out, *v.fields());
  } else {
    out += 'n';
  }
}

// Reads what write() has written; anything else makes it bad, never more.
class reader {
 public:
  explicit reader(std::string_view text) noexcept : left_(text) {}
  bool bad() const noexcept { return bad_; }
  bool done() const noexcept { return left_.empty() || bad_; }
  bool take(std::string_view word) noexcept {
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }
  std::string_view until(char end) noexcept {
    const auto at = left_.find(end);
    if (at == std::string_view::npos) return bad_ = true, std::string_view();
    const std::string_view part = left_.substr(0, at);
    left_.remove_prefix(at + 1);
    return part;
  }
  template <class T>
  T number(char end, int base = 10) noexcept {
    const std::string_view digits = until(end);
    T read{};
    const auto [stop, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), read, base);
    bad_ |= problem != std::errc() || stop != digits.data() + digits.size();
    return read;
  }
  std::string text() {
    const auto size = take("s") ? number<std::size_t>(':') : (bad_ = true, std::size_t{0});
    if (bad_ || size > left_.size()) return bad_ = true, std::string();
    std::string read(left_.substr(0, size));
    left_.remove_prefix(size);
    return read;
  }
  value any(int depth = 100) {
    if (bad_ || depth == 0) return bad_ = true, value();
    if (take("n")) return {};
    if (take("t")) return true;
    if (take("f")) return false;
    if (take("i")) return number<std::int64_t>(';');
    if (take("d")) return std::strtod(std::string(until(';')).c_str(), nullptr);
    if (left_.starts_with('s')) return text();
    if (!take("{")) return bad_ = true, value();
    table t;
    while (!bad_ && !take("}")) {
      if (!take("=")) {
        t.items.push_back(any(depth - 1));
        continue;
      }
      value key = any(depth - 1);
      t.fields.emplace_back(std::move(key), any(depth - 1));
    }
    return t;
  }

 private:
  std::string_view left_;
  bool bad_ = false;
};

std::vector<std::string> missing_in(const std::vector<std::string>& from, const std::vector<std::string>& there) {
  std::vector<std::string> missing;
  std::set_difference(from.begin(), from.end(), there.begin(), there.end(), std::back_inserter(missing));
  return missing;
}

std::string first_of(const std::vector<std::string>& lines) { return lines.empty() ? std::string() : lines.front(); }

std::uint64_t hash_of(const std::vector<std::string>& lines) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::string& line : lines)
    for (const char c : line + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

error no_record() { return {error_kind::transfer, "this text is no record of a session", 0, {}}; }

}  // namespace

std::string session_difference::text() const {
  const auto shown = [](const std::string& line) { return line.empty() ? std::string("nothing") : "'" + line + "'"; };
  return "tick " + std::to_string(tick) + ": recorded " + shown(recorded) + ", now " + shown(now);
}

session::session(const host& h, manual_clock& clock, session_options options)
    : host_(h), clock_(clock), options_(std::move(options)), record_(first_line) {}

std::vector<std::string> session::look() {
  std::vector<std::string> lines;
  const std::string tasks = host_.dump();
  for (std::size_t at = 0; at < tasks.size();) {
    const std::size_t end = tasks.find('\n', at);
    lines.push_back(tasks.substr(at, end - at));
    at = end + 1;
  }
  for (const std::string& name : options_.watched) {
    std::string& line = lines.emplace_back(name + " = ");
    if (const auto got = host_.get(name)) write(line, *got);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

void session::input(const value& given) {
  write(record_ += "input ", given);
  record_ += '\n';
  if (options_.apply) options_.apply(given);
}

tick_report session::tick(duration by) {
  clock_.advance(by);
  const tick_report report = host_.tick();
  std::vector<std::string> now = look();
  for (const std::string& line : missing_in(now, state_)) write_text(record_ += "+ ", line), record_ += '\n';
  for (const std::string& line : missing_in(state_, now)) write_text(record_ += "- ", line), record_ += '\n';
  state_ = std::move(now);
  hash_ = hash_of(state_);
  ++ticks_;
  char line[64];
  std::snprintf(line, sizeof line, "tick %lld %llx\n", static_cast<long long>(by.count()),
                static_cast<unsigned long long>(hash_));
  record_ += line;
  return report;
}

result<std::optional<session_difference>> session::replay(std::string_view record) {
  reader in(record);
  if (!in.take(first_line)) return no_record();
  std::vector<std::string> recorded;  // the state as the record has it
  while (!in.done()) {
    if (in.take("input ")) {
      const value given = in.any();
      if (in.bad() || !in.take("\n")) return no_record();
      input(given);
    } else if (in.take("+ ")) {
      std::string line = in.text();
      recorded.insert(std::upper_bound(recorded.begin(), recorded.end(), line), line);
      if (!in.take("\n")) return no_record();
    } else if (in.take("- ")) {
      const auto at = std::lower_bound(recorded.begin(), recorded.end(), in.text());
      if (at == recorded.end() || !in.take("\n")) return no_record();
      recorded.erase(at);
    } else if (in.take("tick ")) {
      const duration by(in.number<std::int64_t>(' '));
      const auto hash = in.number<std::uint64_t>('\n', 16);
      if (in.bad()) return no_record();
      tick(by);
      if (hash == hash_) continue;
      return std::optional(
          session_difference{ticks_, first_of(missing_in(recorded, state_)), first_of(missing_in(state_, recorded))});
    } else {
      return no_record();
    }
  }
  if (in.bad()) return no_record();
  return std::optional<session_difference>();
}

}  // namespace perilune
