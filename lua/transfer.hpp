// Values on their way from one VM to another. pack() copies them into a parcel, which belongs to no VM and may go to any
// thread; unpack() builds them anew. Shared parts and cycles are kept.
//
// What crosses: nil, booleans, numbers, strings; tables of these; Lua functions with their upvalues, of which _ENV becomes
// the receiver's globals; error objects; handles, which are `crossing`s; and, by name, loaded modules and what is found in
// them. A table keeps its metatable where that is found in a loaded module. Nothing else does, and pack() says what and where.
//
// The bytes hold no code: functions stand beside them, as Lua has dumped them in this process. So whatever the bytes say,
// unpack() builds values or refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <lua.hpp>

#include "allocator.hpp"

namespace perilune {

class vm;

// Something that VMs share: each has an object of its own for it. Counted by whoever holds it, on any thread.
class crossing {
 public:
  virtual ~crossing() = default;
  // Pushes the receiver's object; raises when memory is out.
  virtual void push(lua_State* L, vm& v) = 0;
};
using crossing_ptr = std::shared_ptr<crossing>;

// What the userdata at `index` stands for, or nullptr when it stays at home. Must not raise. One function for each kind
// of handle, listed in transfer_kinds.cpp.
using crossing_kind = crossing_ptr (*)(lua_State* L, int index);
extern const std::vector<crossing_kind> crossing_kinds;
// What messages call a userdata that stays at home.
std::string userdata_that_stays(lua_State* L, int index);

struct parcel {
  std::uint32_t count = 0;  // values
  std::string bytes;
  std::vector<std::string> chunks;   // of functions, as dumped
  std::vector<std::string> modules;  // whose names are in it: loaded first, they may wait
  std::vector<crossing_ptr> handles;
  memory_share share;  // the VM that packed it answers for it
};

struct transfer_limits {
  std::size_t depth = 500;  // tables and functions inside each other
  std::size_t bytes = std::size_t{256} * 1024 * 1024;
  bool plain = false;  // data only: no functions, modules, errors and metatables, and of handles only shared values
};

// What messages call the values: `args[2]`, or the name alone for a single value.
struct transfer_names {
  const char* function = nullptr;  // the first value is a function of this name
  const char* values = "args";     // the others
  bool numbered = true;

  std::string of(int number) const;
};

// A parcel of one boolean, number or string, or nil: nothing to number, to look up or to refuse.
bool is_plain(const parcel& of) noexcept;
bool is_plain(lua_State* L, int index) noexcept;
// Packs what is plain. Needs no table of modules; may throw bad_alloc. False: the VM must not answer for it, as it is.
bool pack_plain(lua_State* L, int index, parcel& out);
// Pushes what is in a plain parcel of pack(); it needs no memory, and so does not raise. False when that is a string.
bool push_scalar(lua_State* L, const parcel& from) noexcept;
// The string in a plain parcel; its memory goes to `into`.
void take_text(parcel& from, std::string& into);

// Pushes the table of loaded modules, which pack() needs on top of the stack. May raise.
void push_loaded_modules(lua_State* L);
// Packs `count` values from stack index `first` on. False, with `problem` = "cannot cross VMs: args[1].on_done is a coroutine",
// when one of them stays at home; the parcel is of no use then. Never raises; may throw bad_alloc.
bool pack(lua_State* L, int first, int count, const transfer_names& names, parcel& out, std::string& problem,
          const transfer_limits& limits = {});

// Pushes the values of a parcel that outlives the call. False, with vm::message, when this VM cannot have one of them: the
// stack is as before. Raises when memory is out, and what a module raises that is loaded for its name.
bool unpack(lua_State* L, vm& v, const parcel& from);

// The format: each value begins with one of these.
enum class transfer_tag : unsigned char {
  nil,
  no,
  yes,
  integer,
  number,
  string,
  table,  // flag: has a metatable, which comes first; pairs of values, ended by `end`
  end,
  again,     // an object that has begun before, by its number
  globals,   // the table of globals
  module,    // by name
  member,    // of a module, by both names
  function,  // chunk, count of upvalues, each: a value or `join`
  join,      // the upvalue of an earlier function: both numbers
  failure,   // an error object: kind, flags, value, fields as a table
  handle,
  last,
};

}  // namespace perilune
