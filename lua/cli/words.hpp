// The words of a command line: flags, durations, numbers, and what to say of a word that nobody knows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <perilune/clock.hpp>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace perilune::cli {

inline bool is_flag(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

// "250ms", "10s", "2m", "1.5h"; a number alone is seconds.
std::optional<duration> read_duration(const std::string& text);
// A whole number from 0 on.
std::optional<std::uint64_t> read_number(const std::string& text);

// "unknown flag '--vrsion'; did you mean '--version'?"
std::string unknown(const std::string& kind, std::string word, const std::vector<std::string>& known);

// Options with a value of one of these kinds.
CLI::Option* add_duration(CLI::App& app, const std::string& name, duration& into);
CLI::Option* add_number(CLI::App& app, const std::string& name, std::uint64_t& into);

}  // namespace perilune::cli
