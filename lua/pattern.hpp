// Lua's patterns, matched in steps that are counted: what takes long is charged as instructions are, and ends where a time
// limit, a cancellation or the end of the fuel ends Lua code. The language, its results and its messages are Lua's own.
//
// A match belongs to the call it is made in, and raises, so it holds nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include <lua.hpp>

namespace perilune {

class pattern_match {
 public:
  struct text {
    const char* begin;
    const char* end;
  };

  pattern_match(lua_State* L, text subject, text pattern) noexcept : L_(L), subject_(subject), pattern_(pattern) {}

  // Matches at one place of the subject: where the match ends, or nullptr.
  const char* at(const char* place);

  // The captures of the last match. Without any in the pattern, the whole match [begin, end) is the first; nullptr: there is
  // none then.
  int count(const char* begin) const noexcept { return level_ == 0 && begin ? 1 : level_; }
  int push_all(const char* begin, const char* end) const;
  void push(int index, const char* begin, const char* end) const;

  // Charges the steps that have not been charged yet.
  void settle();

 private:
  static constexpr std::ptrdiff_t unfinished = -1;
  static constexpr std::ptrdiff_t position = -2;
  static constexpr int deepest = 200;  // what Lua allows
  static constexpr int most_captures = 32;
  static constexpr std::uint32_t portion = 4096;

  struct capture {
    const char* begin;
    std::ptrdiff_t size;
  };

  void step(std::size_t count = 1) {
    steps_ += static_cast<std::uint32_t>(count);
    if (steps_ >= portion) [[unlikely]]
      settle();
  }
  const char* match(const char* s, const char* p);
  const char* match_here(const char* s, const char* p);
  bool whole_item(const char*& s, const char*& p);
  const char* repeat_most(const char* s, const char* item, const char* after);
  const char* repeat_least(const char* s, const char* item, const char* after);
  const char* open_capture(const char* s, const char* p, std::ptrdiff_t size);
  const char* close_capture(const char* s, const char* p);
  const char* same_as_capture(const char* s, char digit);
  const char* balanced(const char* s, const char* p);
  bool frontier(const char* s, const char* set, const char* after);
  const char* end_of_item(const char* p);
  bool one(const char* s, const char* item, const char* after);
  bool in_set(unsigned char c, const char* set, const char* last);

  lua_State* L_;
  text subject_;
  text pattern_;
  int depth_ = 0;
  int level_ = 0;
  std::uint32_t steps_ = 0;
  capture captures_[most_captures];
};

}  // namespace perilune
