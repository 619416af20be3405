// Writing JSON: the pieces of the grammar as text, and whole Lua values.
//
// A value is walked without calling anything of Lua that allocates, raises or runs Lua code, so that the text may grow in
// a C++ string meanwhile. The writer lives in one native call, on the thread of the VM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lua.hpp>

namespace perilune {

// How many tables deep a JSON text may be, in both directions.
inline constexpr std::size_t json_depth = 1000;

// json.null, as a userdata without content.
struct json_null {
  static constexpr std::uint64_t tag = 0x6a736f6e'51e8c3a9ULL;
};

// The length of the UTF-8 sequence at the start of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) noexcept;

// Appends a quoted string. Bytes that are no UTF-8 are replaced by U+FFFD, or, when `strict`, refused with false.
bool append_json_string(std::string& out, std::string_view text, bool strict);
// Its content: control characters as escapes, so that it is one line; quotes and backslashes too when `quoted`.
bool append_escaped_text(std::string& out, std::string_view text, bool quoted, bool strict);
void append_json_integer(std::string& out, lua_Integer value);
// Appends the shortest text that reads back as the same float, and as a float. Requires a finite number.
void append_json_number(std::string& out, double value);

struct json_layout {
  const char* indent = "";  // of one level
  std::size_t indent_size = 0;
  bool pretty = false;
  bool sorted = true;    // objects by key; otherwise in the order of next
  bool lenient = false;  // what has no JSON form becomes a string that says so
};

class json_writer {
 public:
  json_writer(lua_State* L, std::string& out, const json_layout& layout);

  // Writes the value at `index`. False: problem() names the place and the reason.
  bool write(int index);
  const std::string& problem() const noexcept { return problem_; }

 private:
  struct step {
    const void* table;
    const char* name;  // the key in this table being written, or nullptr for a list item
    std::size_t name_size;
    lua_Integer item;
  };
  struct member {
    std::uint64_t beginning;  // of the key
    std::string_view key;
    std::size_t begin;  // of its text, with the separator
    std::size_t end;
  };
  enum class shape : unsigned char { list, object, refused };

  bool write_top();
  bool write_number();
  bool write_table();
  bool write_other(const char* what);
  shape shape_of(lua_Integer& length);
  bool is_marked();
  bool write_list(lua_Integer length);
  bool write_object();
  bool write_key(std::string_view& key);
  void sort_members(std::size_t first);
  void separate();
  void close(std::size_t begin, char open, char shut);
  bool refuse(const char* what);
  void append_path();

  lua_State* L;
  std::string& out_;
  const json_layout& layout_;
  const void* list_type_;
  std::vector<step> steps_;
  std::vector<member> members_;  // of all objects being written, the innermost last
  std::string sorting_;
  std::string problem_;
};

}  // namespace perilune
