// The command line that the system shows. See process_title.hpp.
#include "process_title.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace perilune::process_title {

namespace {

char* begin = nullptr;
std::size_t room = 0;
std::vector<std::string> shown;

}  // namespace

void remember(int count, char** words) {
  if (count <= 0) return;
  begin = words[0];
  shown.assign(words, words + count);
  // The system lays them out one behind the other; should it not, what follows the gap is left alone.
  for (int i = 0; i < count && words[i] == begin + room; ++i) room += std::strlen(words[i]) + 1;
}

const std::vector<std::string>& words() { return shown; }

void show(const std::vector<std::string>& words) {
  shown = words;
  std::string text;
  for (const std::string& word : words) text.append(word).push_back('\0');
  text.resize(room, '\0');
  if (room == 0) return;
  text.back() = '\0';
  std::copy(text.begin(), text.end(), begin);
}

}  // namespace perilune::process_title
