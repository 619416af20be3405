// A JSON text, or one like it, that has been read but is not Lua yet: a flat record of its values in the order of the text.
//
// Reading (with a parser that throws and allocates) and building Lua values (which may raise) never meet: the tape lives
// in a userdata in between. One VM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lua.hpp>

namespace perilune {

class json_tape {
 public:
  static constexpr std::uint64_t tag = 0x74617065'0b93d4c6ULL;

  // Reads a text. False: problem() says "line:col: what".
  bool read(std::string_view text);
  const std::string& problem() const noexcept { return problem_; }

  // Records one value; inside an object its key comes first. What is opened is closed behind what it contains.
  void put_null();
  void put_boolean(bool value);
  void put_integer(lua_Integer value);
  void put_number(double value);
  void put_text(std::string_view value);
  void put_key(std::string_view name);
  void open_list();
  void open_object();
  void close();
  // How many are open.
  std::size_t depth() const noexcept { return open_.size(); }

  // Pushes the value that was recorded. `null` and `list_type` are the stack positions of json.null and of the metatable of
  // lists. Raises when memory is out.
  void push(lua_State* L, int null, int list_type) const;
  // Gives the memory back.
  void clear() noexcept;

 private:
  struct container {
    std::size_t count_at;
    std::uint64_t count;
  };

  void put(char kind);
  void open(char kind);
  template <class T>
  void put_bytes(T value);

  std::string records_;
  std::vector<container> open_;
  std::string problem_;
};

// Defines the types of tapes and of lists, before the first of them is made.
void define_tapes(lua_State* L);

}  // namespace perilune
