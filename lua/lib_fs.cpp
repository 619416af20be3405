// The native half of perilune.fs: one call that carries out a file request on the pool while its task waits. What scripts
// pass is checked in scripts/perilune/fs.lua.
//
//   call(verb, path, other, options) -> results of the verb; raises kind "io"
// A request lives in a userdata on the calling task's stack, so that it is there when the call has ended and is freed when
// the task was cancelled meanwhile. An open file is a userdata that closes its descriptor when it is collected.
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include <unistd.h>

#include <perilune/blocking.hpp>

#include "file_calls.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"

namespace perilune {

namespace {

// What the pool works on; it outlives the call when its task does not wait for the end.
struct file_work {
  file_request request;
  file_answer answer;
};

struct file_call {
  static constexpr std::uint64_t tag = 0x66696c65'2ac7b059ULL;
  std::shared_ptr<file_work> work = std::make_shared<file_work>();
  std::optional<blocking_operation<unit>> running;
};

struct open_file {
  static constexpr std::uint64_t tag = 0x6f70656e'91d3e680ULL;
  int descriptor = -1;
};

struct verb_name {
  const char* name;
  file_verb verb;
  bool reads_only;  // a cancelled task need not wait for the end
};

constexpr verb_name verbs[] = {
    {"read", file_verb::read, true},           {"write", file_verb::write, false},
    {"append", file_verb::append, false},      {"stat", file_verb::stat, true},
    {"list", file_verb::list, true},           {"mkdir", file_verb::mkdir, false},
    {"remove", file_verb::remove, false},      {"rename", file_verb::rename, false},
    {"copy", file_verb::copy, false},          {"temp_file", file_verb::temp_file, false},
    {"temp_dir", file_verb::temp_dir, false},  {"real_path", file_verb::real_path, true},
    {"open", file_verb::open, false},          {"read_some", file_verb::read_some, false},
    {"write_some", file_verb::write_some, false}, {"seek", file_verb::seek, false},
    {"close", file_verb::close, false},
};

const verb_name* find_verb(lua_State* L) noexcept {
  if (lua_type(L, 1) != LUA_TSTRING) return nullptr;
  for (const verb_name& verb : verbs)
    if (!std::strcmp(verb.name, lua_tostring(L, 1))) return &verb;
  return nullptr;
}

bool option(lua_State* L, const char* name, bool fallback) {
  if (!lua_istable(L, 4)) return fallback;
  lua_getfield(L, 4, name);
  const bool value = lua_isnil(L, -1) ? fallback : lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  return value;
}

lua_Integer number_option(lua_State* L, const char* name) {
  if (!lua_istable(L, 4)) return 0;
  lua_getfield(L, 4, name);
  const lua_Integer value = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

void set_text(lua_State* L, int index, std::string& into) {
  std::size_t size = 0;
  if (lua_type(L, index) != LUA_TSTRING) return;
  const char* text = lua_tolstring(L, index, &size);
  into.assign(text, size);
}

// Reads the arguments (verb, path or file, other, options) into the request.
void fill_request(lua_State* L, file_request& request) {
  request.atomic = option(L, "atomic", true);
  request.follow = option(L, "follow", true);
  request.recursive = option(L, "recursive", false);
  request.amount = number_option(L, "amount");
  request.whence = static_cast<int>(number_option(L, "whence"));
  set_text(L, 2, request.path);
  set_text(L, 3, request.other);
  if (const open_file* file = to_object<open_file>(L, 2)) request.descriptor = file->descriptor;
}

void set_number(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void set_integer(lua_State* L, const char* name, std::uint64_t value) {
  lua_pushinteger(L, static_cast<lua_Integer>(value));
  lua_setfield(L, -2, name);
}

void push_facts(lua_State* L, const file_facts& facts) {
  lua_createtable(L, 0, 10);
  lua_pushstring(L, facts.type);
  lua_setfield(L, -2, "type");
  set_integer(L, "size", static_cast<std::uint64_t>(facts.size));
  set_number(L, "modified", facts.modified);
  set_number(L, "accessed", facts.accessed);
  set_integer(L, "mode", facts.mode);
  set_integer(L, "inode", facts.inode);
  set_integer(L, "device", facts.device);
  set_integer(L, "links", facts.links);
  set_integer(L, "owner", facts.owner);
  set_integer(L, "group", facts.group);
}

// A list of names, and a list of their types.
void push_entries(lua_State* L, const std::vector<file_entry>& entries) {
  const int count = static_cast<int>(entries.size());
  lua_createtable(L, count, 0);
  lua_createtable(L, count, 0);
  lua_Integer i = 0;
  for (const file_entry& entry : entries) {
    lua_pushlstring(L, entry.name.data(), entry.name.size());
    lua_rawseti(L, -3, ++i);
    lua_pushstring(L, entry.type);
    lua_rawseti(L, -2, i);
  }
}

reply push_answer(lua_State* L, const file_call& call) {
  const file_answer& answer = call.work->answer;
  switch (call.work->request.verb) {
    case file_verb::stat:
      push_facts(L, answer.facts);
      return 1;
    case file_verb::list:
      push_entries(L, answer.entries);
      return 2;
    case file_verb::seek:
      lua_pushinteger(L, answer.number);
      return 1;
    case file_verb::read:
    case file_verb::temp_file:
    case file_verb::temp_dir:
    case file_verb::real_path:
      lua_pushlstring(L, answer.text.data(), answer.text.size());
      return 1;
    case file_verb::read_some:
      lua_pushlstring(L, answer.text.data(), answer.text.size());
      lua_pushboolean(L, answer.at_end);
      return 2;
    default:
      lua_pushboolean(L, 1);
      return 1;
  }
}

// Takes the answer out of the finished operation. False when it is an error, kept as vm::problem.
bool take_answer(vm& v, file_call& call) {
  static_cast<void>(call.running->take_result());
  call.running.reset();
  const file_work& work = *call.work;
  if (!work.answer.code) return true;
  std::string what = work.answer.call;
  if (!work.request.path.empty()) what += " " + work.request.path;
  v.problem = error::system(std::move(what), work.answer.code);
  return false;
}

// The stack is [verb, path or file, other, options, call, an open_file for `open`].
reply file_call_ended(lua_State* L, vm& v) {
  auto& call = object_at<file_call>(L, 5);
  if (!take_answer(v, call)) return action::raise_problem;
  if (call.work->request.verb != file_verb::open) return push_answer(L, call);
  object_at<open_file>(L, 6).descriptor = call.work->answer.descriptor;
  lua_pushvalue(L, 6);
  return 1;
}

void start_call(file_call& call, const verb_name& verb) {
  call.work->request.verb = verb.verb;
  auto running = blocking([work = call.work] { work->answer = perform_file_request(work->request); },
                          {.name = verb.name, .abandonable = verb.reads_only});
  call.running.emplace(std::move(running).take());
}

reply call_body(lua_State* L, vm& v) {
  const verb_name* verb = find_verb(L);
  if (!verb) return bad_argument(v, 1, "a known verb expected", L);
  if (v.running().cancel_pending() && verb->verb != file_verb::close) return action::raise_cancel;
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  lua_settop(L, 4);
  auto& call = push_object<file_call>(L, 0);
  set_type(L, type_name::file_call);
  if (verb->verb == file_verb::open) {
    push_object<open_file>(L, 0);
    set_type(L, type_name::file);
  }
  fill_request(L, call.work->request);
  if (open_file* file = to_object<open_file>(L, 2); file && verb->verb == file_verb::close) file->descriptor = -1;
  start_call(call, *verb);
  return wait_for(L, v, *call.running, file_call_ended);
}

int collect_call(lua_State* L) {
  object_at<file_call>(L, 1).~file_call();
  return 0;
}

int collect_file(lua_State* L) {
  open_file& file = object_at<open_file>(L, 1);
  if (file.descriptor >= 0) ::close(file.descriptor);
  file.descriptor = -1;
  return 0;
}

reply is_open_body(lua_State* L, vm&) {
  const open_file* file = to_object<open_file>(L, 1);
  lua_pushboolean(L, file && file->descriptor >= 0);
  return 1;
}

}  // namespace

int open_fs(lua_State* L) {
  constexpr library_function* none = nullptr;
  constexpr library_function call_metamethods[] = {{"__gc", collect_call}};
  define_type(L, type_name::file_call, "perilune.file_call", none, 0, call_metamethods, 1);
  constexpr library_function file_metamethods[] = {{"__gc", collect_file}};
  define_type(L, type_name::file, "perilune.descriptor", none, 0, file_metamethods, 1);
  lua_newtable(L);
  constexpr library_function functions[] = {
      {"call", protect::native<call_body>},
      {"is_open", protect::native<is_open_body>},
  };
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
