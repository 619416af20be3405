// A JSON text that has been read but is not Lua yet: a flat record of its values in the order of the text.
//
// Reading (with a parser that throws and allocates) and building Lua values (which may raise) never meet: the tape lives
// in a userdata in between. One VM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <lua.hpp>

namespace perilune {

class json_tape {
 public:
  static constexpr std::uint64_t tag = 0x74617065'0b93d4c6ULL;

  // Reads a text. False: problem() says "line:col: what".
  bool read(std::string_view text);
  const std::string& problem() const noexcept { return problem_; }

  // Pushes the value that was read. `null` and `list_type` are the stack positions of json.null and of the metatable of
  // lists. Raises when memory is out.
  void push(lua_State* L, int null, int list_type) const;
  // Gives the memory back.
  void clear() noexcept;

 private:
  std::string records_;
  std::string problem_;
};

}  // namespace perilune
