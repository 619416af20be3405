// Copying values out of a VM. See transfer.hpp.
//
// A packer only looks: it calls nothing that may raise, so it may hold C++ objects.
#include "transfer.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>
#include <unordered_map>

#include "dumped.hpp"
#include "error_object.hpp"
#include "object.hpp"
#include "shared_kinds.hpp"
#include "transfer_writer.hpp"

namespace perilune {

namespace {

using tag = transfer_tag;

class packer : private parcel_writer {
 public:
  packer(lua_State* L, int loaded, parcel& out, const transfer_limits& limits)
      : parcel_writer(out.bytes),
        L_(L),
        loaded_(loaded),
        out_(out),
        limits_(limits),
        globals_(globals_of(L)),
        trusted_(vm_of(L).trusted()) {
    make_room(first_room);
  }

  // Packs the value at an absolute index. False: refused, `where` and `why` say what.
  bool value(int index, std::size_t depth = 0);

  std::string where;  // the way to what is refused, from the value packed; without its name
  std::string why;

 private:
  struct place {
    const char* module;
    const char* field;  // nullptr: the module itself
  };
  struct cell {
    std::uint32_t function;
    int upvalue;
  };

  static const void* globals_of(lua_State* L) noexcept {
    lua_pushglobaltable(L);
    const void* address = lua_topointer(L, -1);
    lua_pop(L, 1);
    return address;
  }

  bool refuse(std::string what) {
    why = std::move(what);
    return false;
  }
  bool refuse_step(const std::string& step) {
    where.insert(0, step);
    return false;
  }
  // So many bytes more may follow. Throws bad_alloc where the VM must not answer for them.
  void make_room(std::size_t more) {
    if (out_.bytes.size() + more <= room_) return;
    room_ = std::max(2 * room_, out_.bytes.size() + more);
    count_beside(0);
    if (room_ > first_room) out_.bytes.reserve(room_);
  }
  // Counts what stands beside the bytes.
  void count_beside(std::size_t more) {
    beside_ += more;
    if (!vm_of(L_).memory().answer_for(sizeof(parcel) + room_ + beside_, out_.share)) throw std::bad_alloc();
  }
  void put_text(std::string_view text) {
    make_room(text.size() + largest_item);
    parcel_writer::put_text(text);
  }
  bool object(int index, std::size_t depth);
  bool table(int index, std::size_t depth);
  bool metatable(int index);
  bool pairs(int index, std::size_t depth);
  bool function(int index, std::size_t depth);
  bool upvalues(int index, int count, std::uint32_t number, std::size_t depth);
  bool failure(int index, std::size_t depth);
  bool failure_part(int index, std::size_t depth);
  bool handle(int index);
  bool by_name(const place* found);
  bool name_it(int index);
  const place* find(const void* address);
  bool crosses_by_name(int index, const place& at) const;
  void note_modules();
  void note_members();
  std::string step_to(int key) const;

  static constexpr std::size_t first_room = 128;
  static constexpr std::size_t handle_size = 64;
  static constexpr std::size_t largest_item = 32;  // whatever is put for one value, but for its text

  lua_State* L_;
  int loaded_;
  parcel& out_;
  const transfer_limits& limits_;
  const void* globals_;
  const bool trusted_;                                   // else only plain values and handles leave the VM
  std::unordered_map<const void*, std::uint32_t> seen_;  // tables, functions, errors, handles, by number
  std::unordered_map<const void*, cell> cells_;          // upvalues that functions share
  std::unordered_map<const void*, place> modules_;
  std::unordered_map<const void*, place> members_;
  std::size_t room_ = 0;    // the bytes that the VM answers for
  std::size_t beside_ = 0;  // and what chunks and handles take
  bool modules_noted_ = false;
  bool members_noted_ = false;
};

bool packer::value(int index, std::size_t depth) {
  if (out_.bytes.size() > limits_.bytes) return refuse("more than can cross at once");
  make_room(lua_type(L_, index) == LUA_TSTRING ? lua_rawlen(L_, index) + largest_item : largest_item);
  if (put_plain(L_, index)) return true;
  if (lua_type(L_, index) == LUA_TTHREAD) return refuse("a coroutine");
  if (lua_type(L_, index) == LUA_TLIGHTUSERDATA) return refuse("a light userdata");
  return object(index, depth);
}

// A table, function or full userdata: what was packed before is only named.
bool packer::object(int index, std::size_t depth) {
  if (const auto before = seen_.find(lua_topointer(L_, index)); before != seen_.end()) {
    put(tag::again);
    put_count(before->second);
    return true;
  }
  if (depth >= limits_.depth) return refuse("nested too deeply");
  if (!lua_checkstack(L_, 8)) return refuse("nested too deeply for the memory there is");
  if (!trusted_ && lua_isfunction(L_, index)) return refuse("a function of a VM that is not trusted");
  if (lua_istable(L_, index)) return table(index, depth);
  return lua_isfunction(L_, index) ? function(index, depth) : handle(index) || (why.empty() && failure(index, depth));
}

void packer::note_modules() {
  if (std::exchange(modules_noted_, true)) return;
  for (lua_pushnil(L_); lua_next(L_, loaded_); lua_pop(L_, 1))
    if (lua_type(L_, -2) == LUA_TSTRING && lua_istable(L_, -1))
      modules_.try_emplace(lua_topointer(L_, -1), place{lua_tostring(L_, -2), nullptr});
}

// The functions, metatables and values without a copy that stand in modules. What stands in another module, too, is not
// named as a global.
void packer::note_members() {
  if (std::exchange(members_noted_, true)) return;
  for (const bool globals : {false, true}) {
    for (lua_pushnil(L_); lua_next(L_, loaded_); lua_pop(L_, 1)) {
      if (lua_type(L_, -2) != LUA_TSTRING || !lua_istable(L_, -1)) continue;
      if ((lua_topointer(L_, -1) == globals_) != globals) continue;
      const char* module = lua_tostring(L_, -2);
      const int fields = lua_gettop(L_);
      for (lua_pushnil(L_); lua_next(L_, fields); lua_pop(L_, 1)) {
        const int type = lua_type(L_, -1);
        const bool object = type == LUA_TFUNCTION || type == LUA_TUSERDATA || type == LUA_TTABLE;
        if (object && lua_type(L_, -2) == LUA_TSTRING)
          members_.try_emplace(lua_topointer(L_, -1), place{module, lua_tostring(L_, -2)});
      }
    }
  }
}

const packer::place* packer::find(const void* address) {
  note_modules();
  if (const auto module = modules_.find(address); module != modules_.end()) return &module->second;
  note_members();
  const auto member = members_.find(address);
  return member == members_.end() ? nullptr : &member->second;
}

bool packer::by_name(const place* found) {
  if (!trusted_) return refuse("a library of a VM that is not trusted");
  bool known = false;
  for (const std::string& module : out_.modules) known = known || module == found->module;
  if (!known) out_.modules.emplace_back(found->module);
  put(found->field ? tag::member : tag::module);
  put_text(found->module);
  if (found->field) put_text(found->field);
  return true;
}

// A Lua function that a script has made a global crosses as a copy: other VMs do not have it.
bool packer::crosses_by_name(int index, const place& at) const {
  if (std::strcmp(at.module, LUA_GNAME) != 0 || lua_iscfunction(L_, index)) return true;
  lua_Debug made;
  lua_pushvalue(L_, index);
  lua_getinfo(L_, ">S", &made);
  return std::string_view(made.source).starts_with("=perilune.");
}

bool packer::name_it(int index) {
  const place* found = find(lua_topointer(L_, index));
  return found && crosses_by_name(index, *found) && by_name(found);
}

bool packer::table(int index, std::size_t depth) {
  const void* address = lua_topointer(L_, index);
  if (!limits_.plain) {
    if (address == globals_)
      return trusted_ ? (put(tag::globals), true) : refuse("the globals of a VM that is not trusted");
    note_modules();
    if (const auto module = modules_.find(address); module != modules_.end()) return by_name(&module->second);
  }
  seen_.emplace(address, static_cast<std::uint32_t>(seen_.size()));
  put(tag::table);
  return metatable(index) && pairs(index, depth);
}

bool packer::metatable(int index) {
  const bool has_one = lua_getmetatable(L_, index) != 0;
  out_.bytes.push_back(has_one ? 1 : 0);
  if (!has_one) return true;
  if (limits_.plain) return lua_pop(L_, 1), refuse("a table with a metatable");
  const place* found = find(lua_topointer(L_, -1));
  lua_pop(L_, 1);
  return found ? by_name(found) : refuse("a table with a metatable that is in no loaded module");
}

std::string packer::step_to(int key) const {
  if (lua_type(L_, key) == LUA_TSTRING) {
    std::size_t size = 0;
    const char* text = lua_tolstring(L_, key, &size);
    const std::string_view name(text, size);
    const auto is_word = [](std::string_view s) {
      constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
      return !s.empty() && s.size() <= 64 && std::strchr(letters, s[0]) &&
             s.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
                 std::string_view::npos;
    };
    return is_word(name) ? "." + std::string(name) : "[\"" + std::string(name.substr(0, 64)) + "\"]";
  }
  if (lua_isboolean(L_, key)) return lua_toboolean(L_, key) ? "[true]" : "[false]";
  if (lua_isinteger(L_, key)) return "[" + std::to_string(lua_tointeger(L_, key)) + "]";
  return std::string("[a ") + lua_typename(L_, lua_type(L_, key)) + "]";
}

bool packer::pairs(int index, std::size_t depth) {
  lua_pushnil(L_);
  while (lua_next(L_, index)) {
    const int item = lua_gettop(L_);
    if (!value(item - 1, depth + 1)) {
      lua_settop(L_, item - 2);
      return refuse_step(".(key)");
    }
    if (!value(item, depth + 1)) {
      const std::string step = step_to(item - 1);
      lua_settop(L_, item - 2);
      return refuse_step(step);
    }
    lua_settop(L_, item - 1);
  }
  put(tag::end);
  return true;
}

bool packer::function(int index, std::size_t depth) {
  if (limits_.plain) return refuse("a function");
  if (name_it(index)) return true;
  if (lua_iscfunction(L_, index)) return refuse("a C function");
  const auto number = static_cast<std::uint32_t>(seen_.size());
  seen_.emplace(lua_topointer(L_, index), number);
  std::string chunk;
  lua_pushvalue(L_, index);
  const int dumped = lua_dump(L_, append_dumped, &chunk, 0);
  lua_Debug made;
  lua_getinfo(L_, ">u", &made);
  if (dumped != 0) return refuse("a function too large for the memory there is");
  put(tag::function);
  put_count(out_.chunks.size());
  put_count(made.nups);
  count_beside(sizeof chunk + chunk.capacity());
  out_.chunks.push_back(std::move(chunk));
  return upvalues(index, made.nups, number, depth);
}

bool packer::upvalues(int index, int count, std::uint32_t number, std::size_t depth) {
  for (int i = 1; i <= count; ++i) {
    const char* name = lua_getupvalue(L_, index, i);
    const int item = lua_gettop(L_);
    const auto [shared, is_new] = cells_.try_emplace(lua_upvalueid(L_, index, i), cell{number, i});
    bool crosses = true;
    if (std::strcmp(name, "_ENV") == 0) {
      put(tag::globals);
    } else if (!is_new) {
      put(tag::join);
      put_count(shared->second.function);
      put_count(static_cast<std::uint64_t>(shared->second.upvalue));
    } else {
      crosses = value(item, depth + 1);
    }
    const std::string step = crosses ? "" : std::string(".(upvalue ") + name + ")";
    lua_settop(L_, item - 1);
    if (!crosses) return refuse_step(step);
  }
  return true;
}

// A part of an error object that cannot cross stays behind; the text tells of it.
bool packer::failure_part(int index, std::size_t depth) {
  const std::size_t bytes = out_.bytes.size();
  const std::size_t chunks = out_.chunks.size();
  const std::size_t handles = out_.handles.size();
  const auto seen = seen_;
  const auto cells = cells_;
  const int top = lua_gettop(L_);
  if (value(index, depth)) return true;
  lua_settop(L_, top);
  out_.bytes.resize(bytes);
  out_.chunks.resize(chunks);
  out_.handles.resize(handles);
  seen_ = seen;
  cells_ = cells;
  where.clear();
  why.clear();
  put(tag::nil);
  return false;
}

bool packer::failure(int index, std::size_t depth) {
  const error_object* e = to_object<error_object>(L_, index);
  if (limits_.plain) return refuse(userdata_that_stays(L_, index));
  if (!e) return name_it(index) || refuse(userdata_that_stays(L_, index));
  seen_.emplace(lua_topointer(L_, index), static_cast<std::uint32_t>(seen_.size()));
  put(tag::failure);
  out_.bytes.push_back(static_cast<char>(e->kind));
  out_.bytes.push_back(e->during_cancel ? 1 : 0);
  lua_getiuservalue(L_, index, error_object::value);
  const int item = lua_gettop(L_);
  const int type = lua_type(L_, item);
  const bool whole = failure_part(item, depth + 1);
  put_text(whole ? "" : lua_typename(L_, type));
  if (lua_getiuservalue(L_, index, error_object::fields) == LUA_TTABLE) {
    for (lua_pushnil(L_); lua_next(L_, item + 1); lua_settop(L_, item + 2)) {
      if (lua_type(L_, item + 2) != LUA_TSTRING) continue;
      value(item + 2, depth + 1);
      failure_part(item + 3, depth + 1);
    }
  }
  put(tag::end);
  lua_settop(L_, item - 1);
  return true;
}

bool packer::handle(int index) {
  for (const crossing_kind take : crossing_kinds) {
    if (limits_.plain && take != cross_shared_value) continue;
    crossing_ptr found = take(L_, index);
    if (!found) continue;
    seen_.emplace(lua_topointer(L_, index), static_cast<std::uint32_t>(seen_.size()));
    put(tag::handle);
    put_count(out_.handles.size());
    count_beside(handle_size);
    out_.handles.push_back(std::move(found));
    return true;
  }
  return false;
}

bool pack_once(lua_State* L, int first, int count, const transfer_names& names, parcel& out, std::string& problem,
               const transfer_limits& limits) {
  const int top = lua_gettop(L);
  packer packing(L, top, out, limits);
  out.count = static_cast<std::uint32_t>(count);
  for (int i = 0; i < count; ++i) {
    if (packing.value(first + i)) continue;
    lua_settop(L, top);
    const std::string way = names.of(i) + packing.where;
    problem = (limits.plain ? "cannot be shared: " : "cannot cross VMs: ") + (way.empty() ? "the value" : way) +
              " is " + packing.why;
    return false;
  }
  return true;
}

}  // namespace

bool pack(lua_State* L, int first, int count, const transfer_names& names, parcel& out, std::string& problem,
          const transfer_limits& limits) {
  const int top = lua_gettop(L);
  try {
    return pack_once(L, first, count, names, out, problem, limits);
  } catch (const std::bad_alloc&) {  // what is garbage may count
    lua_settop(L, top);
    out = {};
  }
  lua_gc(L, LUA_GCCOLLECT);
  return pack_once(L, first, count, names, out, problem, limits);
}

}  // namespace perilune
