// Backtracking over patterns. See pattern.hpp.
//
// A pattern ends with a zero byte, as every string of Lua's does, so one byte past any place in it may be read.
#include "pattern.hpp"

#include <cctype>
#include <cstring>

#include "bounded.hpp"

namespace perilune {

namespace {

constexpr char escape = '%';

unsigned char byte(char c) noexcept { return static_cast<unsigned char>(c); }

bool may_be_absent(char repetition) noexcept { return repetition == '*' || repetition == '-' || repetition == '?'; }

bool in_class(int c, int name) noexcept {
  bool found = false;
  switch (std::tolower(name)) {
    case 'a':
      found = std::isalpha(c) != 0;
      break;
    case 'c':
      found = std::iscntrl(c) != 0;
      break;
    case 'd':
      found = std::isdigit(c) != 0;
      break;
    case 'g':
      found = std::isgraph(c) != 0;
      break;
    case 'l':
      found = std::islower(c) != 0;
      break;
    case 'p':
      found = std::ispunct(c) != 0;
      break;
    case 's':
      found = std::isspace(c) != 0;
      break;
    case 'u':
      found = std::isupper(c) != 0;
      break;
    case 'w':
      found = std::isalnum(c) != 0;
      break;
    case 'x':
      found = std::isxdigit(c) != 0;
      break;
    case 'z':
      found = c == 0;
      break;
    default:
      return name == c;
  }
  return std::isupper(name) ? !found : found;
}

}  // namespace

void pattern_match::settle() {
  const std::uint32_t steps = steps_;
  steps_ = 0;
  protect::charge(L_, steps);
}

const char* pattern_match::at(const char* place) {
  level_ = 0;
  depth_ = 0;
  return match(place, pattern_.begin);
}

const char* pattern_match::match(const char* s, const char* p) {
  if (++depth_ > deepest) refuse(L_, "pattern too complex");
  const char* end = match_here(s, p);
  --depth_;
  return end;
}

// Matches %b, %f or a capture's number at `p`, which have no repetition. False: another item is there.
bool pattern_match::whole_item(const char*& s, const char*& p) {
  if (p[1] == 'b') {
    s = balanced(s, p + 2);
    p += 4;
  } else if (p[1] == 'f') {
    const char* const set = p + 2;
    if (*set != '[') refuse(L_, "missing '[' after '%f' in pattern");
    p = end_of_item(set);
    if (!frontier(s, set, p)) s = nullptr;
  } else if (std::isdigit(byte(p[1]))) {
    s = same_as_capture(s, p[1]);
    p += 2;
  } else {
    return false;
  }
  return true;
}

// Goes along the pattern as long as there is one way to go on only.
const char* pattern_match::match_here(const char* s, const char* p) {
  while (p != pattern_.end) {
    step();
    switch (*p) {
      case '(':
        return p[1] == ')' ? open_capture(s, p + 2, position) : open_capture(s, p + 1, unfinished);
      case ')':
        return close_capture(s, p + 1);
      case '$':
        if (p + 1 == pattern_.end) return s == subject_.end ? s : nullptr;
        break;
      case escape:
        if (!whole_item(s, p)) break;
        if (!s) return nullptr;
        continue;
    }
    const char* const after = end_of_item(p);
    if (!one(s, p, after)) {
      if (!may_be_absent(*after)) return nullptr;
      p = after + 1;
      continue;
    }
    switch (*after) {
      case '?':
        if (const char* end = match(s + 1, after + 1)) return end;
        p = after + 1;
        break;
      case '+':
        return repeat_most(s + 1, p, after);
      case '*':
        return repeat_most(s, p, after);
      case '-':
        return repeat_least(s, p, after);
      default:
        ++s;
        p = after;
    }
  }
  return s;
}

const char* pattern_match::repeat_most(const char* s, const char* item, const char* after) {
  std::ptrdiff_t count = 0;
  while (one(s + count, item, after)) ++count;
  for (; count >= 0; --count)
    if (const char* end = match(s + count, after + 1)) return end;
  return nullptr;
}

const char* pattern_match::repeat_least(const char* s, const char* item, const char* after) {
  for (;; ++s) {
    if (const char* end = match(s, after + 1)) return end;
    if (!one(s, item, after)) return nullptr;
  }
}

const char* pattern_match::open_capture(const char* s, const char* p, std::ptrdiff_t size) {
  if (level_ >= most_captures) refuse(L_, "too many captures");
  captures_[level_++] = {s, size};
  const char* end = match(s, p);
  if (!end) --level_;
  return end;
}

const char* pattern_match::close_capture(const char* s, const char* p) {
  int open = level_ - 1;
  while (open >= 0 && captures_[open].size != unfinished) --open;
  if (open < 0) refuse(L_, "invalid pattern capture");
  captures_[open].size = s - captures_[open].begin;
  const char* end = match(s, p);
  if (!end) captures_[open].size = unfinished;
  return end;
}

const char* pattern_match::same_as_capture(const char* s, char digit) {
  const int index = digit - '1';
  if (index < 0 || index >= level_ || captures_[index].size == unfinished)
    refuse(L_, lua_pushfstring(L_, "invalid capture index %%%d", index + 1));
  const capture& before = captures_[index];
  if (before.size == position || subject_.end - s < before.size) return nullptr;
  step(static_cast<std::size_t>(before.size) / 16 + 1);
  return std::memcmp(before.begin, s, static_cast<std::size_t>(before.size)) == 0 ? s + before.size : nullptr;
}

const char* pattern_match::balanced(const char* s, const char* p) {
  if (p >= pattern_.end - 1) refuse(L_, "malformed pattern (missing arguments to '%b')");
  if (*s != *p) return nullptr;
  int open = 1;
  for (++s; s < subject_.end; ++s) {
    step();
    if (*s == p[1]) {
      if (--open == 0) return s + 1;
    } else if (*s == *p) {
      ++open;
    }
  }
  return nullptr;
}

bool pattern_match::frontier(const char* s, const char* set, const char* after) {
  const unsigned char before = s == subject_.begin ? 0 : byte(s[-1]);
  return !in_set(before, set, after - 1) && in_set(byte(*s), set, after - 1);
}

// Behind the single item at `p`: a character, an escape or a set.
const char* pattern_match::end_of_item(const char* p) {
  if (*p == escape) {
    if (p + 1 == pattern_.end) refuse(L_, "malformed pattern (ends with '%')");
    return p + 2;
  }
  if (*p++ != '[') return p;
  const char* const begin = p;
  if (*p == '^') ++p;
  do {
    if (p == pattern_.end) refuse(L_, "malformed pattern (missing ']')");
    if (*p++ == escape && p < pattern_.end) ++p;
  } while (*p != ']');
  step(static_cast<std::size_t>(p - begin) / 4);
  return p + 1;
}

bool pattern_match::one(const char* s, const char* item, const char* after) {
  if (s >= subject_.end) return false;
  step();
  switch (*item) {
    case '.':
      return true;
    case escape:
      return in_class(byte(*s), byte(item[1]));
    case '[':
      return in_set(byte(*s), item, after - 1);
    default:
      return *item == *s;
  }
}

// `set` is at its '[', `last` at its ']'.
bool pattern_match::in_set(unsigned char c, const char* set, const char* last) {
  bool found = true;
  if (set[1] == '^') {
    found = false;
    ++set;
  }
  step(static_cast<std::size_t>(last - set) / 4);
  while (++set < last) {
    if (*set == escape) {
      ++set;
      if (in_class(c, byte(*set))) return found;
    } else if (set[1] == '-' && set + 2 < last) {
      set += 2;
      if (byte(set[-2]) <= c && c <= byte(*set)) return found;
    } else if (byte(*set) == c) {
      return found;
    }
  }
  return !found;
}

void pattern_match::push(int index, const char* begin, const char* end) const {
  if (index >= level_) {
    if (index > 0) refuse(L_, lua_pushfstring(L_, "invalid capture index %%%d", index + 1));
    lua_pushlstring(L_, begin, static_cast<std::size_t>(end - begin));
    return;
  }
  const capture& found = captures_[index];
  if (found.size == unfinished) refuse(L_, "unfinished capture");
  if (found.size == position)
    lua_pushinteger(L_, found.begin - subject_.begin + 1);
  else
    lua_pushlstring(L_, found.begin, static_cast<std::size_t>(found.size));
}

int pattern_match::push_all(const char* begin, const char* end) const {
  const int all = count(begin);
  protect::need_stack(L_, all, "too many captures");
  for (int i = 0; i < all; ++i) push(i, begin, end);
  return all;
}

}  // namespace perilune
