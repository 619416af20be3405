// What stands painted on standard error. See painted.hpp.
#include "painted.hpp"

#include <cstdio>
#include <mutex>

namespace perilune::painted {

namespace {

std::mutex turn;
std::string erases;  // what stands there; empty: nothing does

void write_out(const std::string& bytes) { static_cast<void>(std::fwrite(bytes.data(), 1, bytes.size(), stderr)); }

}  // namespace

void paint(std::string_view erasing, std::string_view text, std::string_view next_erasing) {
  const std::lock_guard<std::mutex> hold(turn);
  std::string bytes(erases.empty() ? std::string_view() : erasing);
  bytes += text;
  erases = next_erasing;
  write_out(bytes);
}

void say(const std::string& text) {
  const std::lock_guard<std::mutex> hold(turn);
  write_out(erases + "perilune: " + text + "\n");
  erases.clear();
}

}  // namespace perilune::painted
