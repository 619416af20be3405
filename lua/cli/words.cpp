// Reading and judging words. See words.hpp.
#include "words.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include <CLI/CLI.hpp>

#include "closest_name.hpp"

namespace perilune::cli {

std::optional<duration> read_duration(const std::string& text) {
  struct unit {
    const char* name;
    double seconds;
  };
  constexpr unit units[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !(number >= 0)) return std::nullopt;
  for (const unit& u : units)
    if (std::string_view(end) == u.name) return from_seconds(number * u.seconds);
  return std::nullopt;
}

std::optional<std::uint64_t> read_number(const std::string& text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

std::string unknown(const std::string& kind, std::string word, const std::vector<std::string>& known) {
  if (is_flag(word)) word.resize(std::min(word.find('='), word.size()));
  std::string text = "unknown " + kind + " '" + word + "'";
  closest_name meant(word);
  for (const std::string& candidate : known) meant.consider(candidate);
  if (!meant.best().empty()) return text.append("; did you mean '").append(meant.best()).append("'?");
  return text.append("; see perilune --help");
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, duration& into) {
  return app.add_option_function<std::string>(name, [name, &into](const std::string& text) {
    const auto span = read_duration(text);
    if (!span) throw CLI::ValidationError(name, "not a duration like 10s, 500ms or 2m: '" + text + "'");
    into = *span;
  });
}

CLI::Option* add_number(CLI::App& app, const std::string& name, std::uint64_t& into) {
  return app.add_option_function<std::string>(name, [name, &into](const std::string& text) {
    const auto number = read_number(text);
    if (!number) throw CLI::ValidationError(name, "not a whole number from 0 on: '" + text + "'");
    into = *number;
  });
}

}  // namespace perilune::cli
