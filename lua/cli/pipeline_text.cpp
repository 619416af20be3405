// Looking at a text. See pipeline_text.hpp.
#include "pipeline_text.hpp"

namespace perilune::cli {

namespace {

constexpr std::string_view sections[] = {"pipeline", "params", "secrets", "pools", "steps"};
constexpr std::string_view mentions[] = {"perilune.pipeline\"", "perilune.pipeline'", ".pipeline.new"};
constexpr std::string_view blanks = " \t\r";

bool begins_section(std::string_view line) {
  for (const std::string_view name : sections) {
    if (!line.starts_with(name)) continue;
    const std::size_t next = line.find_first_not_of(blanks, name.size());
    return next != std::string_view::npos && (line[next] == '.' || line[next] == '=');
  }
  return false;
}

// The first line that says anything tells: no Lua text begins with a bracket.
bool is_toml(std::string_view source) {
  while (!source.empty()) {
    const std::size_t end = source.find('\n');
    std::string_view line = source.substr(0, end);
    source.remove_prefix(end == std::string_view::npos ? source.size() : end + 1);
    const std::size_t first = line.find_first_not_of(blanks);
    if (first == std::string_view::npos || line[first] == '#') continue;
    line.remove_prefix(first);
    return line.front() == '[' || begins_section(line);
  }
  return false;
}

}  // namespace

bool is_pipeline(std::string_view source) {
  if (is_toml(source)) return true;
  for (const std::string_view word : mentions)
    if (source.find(word) != std::string_view::npos) return true;
  return false;
}

}  // namespace perilune::cli
