// Runs a fuzzer without libFuzzer: fuzz_main FOLDER SECONDS. Every file of the kept corpus, then changed ones until the time is
// up, always the same in the same order.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void feed(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  std::vector<std::string> texts;
  for (const std::string& name : names) {
    std::ifstream in(name, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return texts;
}

// Part of one text, part of another, and a few bytes changed.
std::string changed(const std::vector<std::string>& corpus, std::mt19937& random) {
  const auto any = [&](std::size_t count) { return static_cast<std::size_t>(random() % (count + 1)); };
  std::string made = corpus[any(corpus.size() - 1)];
  const std::string& other = corpus[any(corpus.size() - 1)];
  const std::size_t from = any(other.size());
  made = made.substr(0, any(made.size())) + other.substr(from, any(other.size() - from));
  for (std::size_t n = any(4); n > 0 && !made.empty(); --n) {
    const std::size_t at = any(made.size() - 1);
    if (any(2) == 0)
      made.erase(at, any(3));
    else
      made[at] = static_cast<char>(any(1) ? random() % 256 : made[any(made.size() - 1)]);
  }
  return made;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: fuzz_main FOLDER SECONDS\n", stderr), 2;
  const std::vector<std::string> corpus = read_corpus(argv[1]);
  if (corpus.empty()) return std::fputs("an empty corpus\n", stderr), 1;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[2]));
  for (const std::string& text : corpus) feed(text);
  std::mt19937 random(1);
  std::size_t count = corpus.size();
  for (; std::chrono::steady_clock::now() < end; ++count) feed(changed(corpus, random));
  std::printf("%zu inputs\n", count);
  return 0;
}
