// The native half of perilune.fs: the engine's calls on files and folders, each carried out while its task waits. What
// scripts pass is checked in scripts/perilune/fs.lua. Open files and walks are userdata that share what the engine holds.
#include <optional>
#include <string>
#include <vector>

#include <perilune/file.hpp>
#include <perilune/fs.hpp>

#include "error_object.hpp"
#include "fs_call.hpp"
#include "lua_watcher.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

struct lua_file {
  static constexpr std::uint64_t tag = 0x6f70656e'91d3e680ULL;
  fs::file file;
};

struct lua_walk {
  static constexpr std::uint64_t tag = 0x77616c6b'5e02c7f4ULL;
  std::optional<fs::dir_walker> walker{};
};

// Reading the arguments; `n` counts from 1, the call stands below them.

std::string text(lua_State* L, int n) {
  std::size_t size = 0;
  const char* bytes = lua_type(L, n + 1) == LUA_TSTRING ? lua_tolstring(L, n + 1, &size) : "";
  return {bytes, size};
}

bool flag(lua_State* L, int n, bool fallback) {
  return lua_isnoneornil(L, n + 1) ? fallback : lua_toboolean(L, n + 1) != 0;
}

std::size_t count(lua_State* L, int n, std::size_t fallback) {
  const lua_Integer given = read_count(L, n + 1);
  return given < 0 ? fallback : static_cast<std::size_t>(given);
}

// Pushing results.

reply push_done(lua_State* L, unit&) {
  lua_pushboolean(L, 1);
  return 1;
}

reply push_text(lua_State* L, std::string& bytes) {
  lua_pushlstring(L, bytes.data(), bytes.size());
  return 1;
}

void set_integer(lua_State* L, const char* name, std::uint64_t value) {
  lua_pushinteger(L, static_cast<lua_Integer>(value));
  lua_setfield(L, -2, name);
}

void set_number(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void set_type_field(lua_State* L, fs::file_type type) {
  lua_pushstring(L, fs::to_string(type));
  lua_setfield(L, -2, "type");
}

reply push_status(lua_State* L, fs::file_status& status) {
  lua_createtable(L, 0, 11);
  set_type_field(L, status.type);
  set_integer(L, "size", status.size);
  set_number(L, "modified", status.modified);
  set_number(L, "accessed", status.accessed);
  set_integer(L, "mode", status.mode);
  set_integer(L, "inode", status.inode);
  set_integer(L, "device", status.device);
  set_integer(L, "links", status.links);
  set_integer(L, "owner", status.owner);
  set_integer(L, "group", status.group);
  if (status.type != fs::file_type::link) return 1;
  push_text(L, status.target);
  lua_setfield(L, -2, "target");
  return 1;
}

// A list of names, and a list of their types.
reply push_entries(lua_State* L, std::vector<fs::dir_entry>& entries) {
  lua_createtable(L, static_cast<int>(entries.size()), 0);
  lua_createtable(L, static_cast<int>(entries.size()), 0);
  lua_Integer i = 0;
  for (fs::dir_entry& entry : entries) {
    push_text(L, entry.name);
    lua_rawseti(L, -3, ++i);
    lua_pushstring(L, fs::to_string(entry.type));
    lua_rawseti(L, -2, i);
  }
  return 2;
}

reply push_texts(lua_State* L, std::vector<std::string>& texts) {
  lua_createtable(L, static_cast<int>(texts.size()), 0);
  lua_Integer i = 0;
  for (std::string& one : texts) {
    push_text(L, one);
    lua_rawseti(L, -2, ++i);
  }
  return 1;
}

void push_walk_entry(lua_State* L, const fs::walk_entry& entry) {
  lua_createtable(L, 0, 4);
  set_type_field(L, entry.type);
  const std::size_t slash = entry.path.rfind('/') + 1;  // 0 where there is none
  lua_pushlstring(L, entry.path.data() + slash, entry.path.size() - slash);
  lua_setfield(L, -2, "name");
  set_integer(L, "depth", entry.depth);
  if (!entry.problem) return;
  error_object::push_engine_error(L, vm_of(L), *entry.problem);
  lua_setfield(L, -2, "error");
}

// A list of paths, and a list of what is there.
reply push_batch(lua_State* L, std::vector<fs::walk_entry>& batch) {
  lua_createtable(L, static_cast<int>(batch.size()), 0);
  lua_createtable(L, static_cast<int>(batch.size()), 0);
  lua_Integer i = 0;
  for (fs::walk_entry& entry : batch) {
    push_text(L, entry.path);
    lua_rawseti(L, -3, ++i);
    push_walk_entry(L, entry);
    lua_rawseti(L, -2, i);
  }
  return 2;
}

reply push_file(lua_State* L, fs::file& opened) {
  push_object<lua_file>(L, type_name::file, 0, std::move(opened));
  return 1;
}

reply push_position(lua_State* L, std::uint64_t& position) {
  lua_pushinteger(L, static_cast<lua_Integer>(position));
  return 1;
}

// The calls, with their arguments as fs.lua passes them.

reply read_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::read_file(text(L, 1)); }, push_text);
}
reply write_body(lua_State* L, vm& v) {
  const auto make = [L] { return fs::write_file(text(L, 1), text(L, 2), {.atomic = flag(L, 3, true)}); };
  return perform_fs(L, v, make, push_done);
}
reply append_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::append_file(text(L, 1), text(L, 2)); }, push_done);
}
reply stat_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::stat(text(L, 1), flag(L, 2, true)); }, push_status);
}
reply real_path_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::real_path(text(L, 1)); }, push_text);
}
reply list_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::list(text(L, 1)); }, push_entries);
}
reply mkdir_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::make_dir(text(L, 1), flag(L, 2, false)); }, push_done);
}
reply remove_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::remove(text(L, 1), flag(L, 2, false)); }, push_done);
}
reply rename_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::rename(text(L, 1), text(L, 2)); }, push_done);
}
reply copy_body(lua_State* L, vm& v) {
  const auto make = [L] {
    return fs::copy(text(L, 1), text(L, 2), {.recursive = flag(L, 3, false), .overwrite = flag(L, 4, true)});
  };
  return perform_fs(L, v, make, push_done);
}
reply temp_file_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::temp_file(text(L, 1), text(L, 2)); }, push_text);
}
reply temp_dir_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::temp_dir(text(L, 1), text(L, 2)); }, push_text);
}
reply glob_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::glob(text(L, 1)); }, push_texts);
}

// walk(root, depth, follow) -> walk; walk_next(walk) -> paths, entries; both empty at the end.
reply walk_body(lua_State* L, vm&) {
  lua_settop(L, 3);
  lua_pushnil(L);
  lua_insert(L, 1);
  auto& made = push_object<lua_walk>(L, type_name::walker, 0);
  made.walker.emplace(text(L, 1),
                      fs::walk_options{.follow_links = flag(L, 3, false), .max_depth = count(L, 2, fs::unlimited)});
  return 1;
}
reply walk_next_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return object_at<lua_walk>(L, 2).walker->next(); }, push_batch);
}

// watch(path, recursive, debounce) -> watcher
reply watch_body(lua_State* L, vm& v) {
  const auto make = [L] {
    return fs::watch(text(L, 1), {.recursive = flag(L, 2, false), .debounce = from_seconds(lua_tonumber(L, 4))});
  };
  return perform_fs(L, v, make, push_watcher);
}

// open(path, mode) -> file, and the calls on it.

fs::open_options mode_of(const std::string& mode) {
  const bool both = mode.find('+') != std::string::npos;
  if (mode[0] == 'a') return {.read = both, .append = true, .create = true};
  if (mode[0] == 'w') return {.read = both, .write = true, .create = true, .truncate = true};
  return {.write = both};
}

reply open_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return fs::open(text(L, 1), mode_of(text(L, 2))); }, push_file);
}
reply read_some_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return object_at<lua_file>(L, 2).file.read(); }, push_text);
}
reply write_some_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return object_at<lua_file>(L, 2).file.write(text(L, 2)); }, push_done);
}
reply seek_body(lua_State* L, vm& v) {
  const auto make = [L] {
    return object_at<lua_file>(L, 2).file.seek(lua_tointeger(L, 3), static_cast<fs::seek_from>(lua_tointeger(L, 4)));
  };
  return perform_fs(L, v, make, push_position);
}
reply flush_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return object_at<lua_file>(L, 2).file.flush(); }, push_done);
}
reply close_body(lua_State* L, vm& v) {
  return perform_fs(L, v, [L] { return object_at<lua_file>(L, 2).file.close(); }, push_done);
}

template <class T>
reply collect(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

template <class T>
void define(lua_State* L, type_name type, const char* shown) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect<T>>}};
  define_type(L, type, shown, {}, metamethods);
}

}  // namespace

int open_fs(lua_State* L) {
  define_fs_call(L);
  define<lua_file>(L, type_name::file, "perilune.descriptor");
  define_watcher(L);
  define<lua_walk>(L, type_name::walker, "perilune.walk");
  lua_newtable(L);
  constexpr library_function functions[] = {
      {"read", protect::native<read_body>},
      {"write", protect::native<write_body>},
      {"append", protect::native<append_body>},
      {"stat", protect::native<stat_body>},
      {"real_path", protect::native<real_path_body>},
      {"list", protect::native<list_body>},
      {"mkdir", protect::native<mkdir_body>},
      {"remove", protect::native<remove_body>},
      {"rename", protect::native<rename_body>},
      {"copy", protect::native<copy_body>},
      {"temp_file", protect::native<temp_file_body>},
      {"temp_dir", protect::native<temp_dir_body>},
      {"glob", protect::native<glob_body>},
      {"walk", protect::native<walk_body>},
      {"walk_next", protect::native<walk_next_body>},
      {"watch", protect::native<watch_body>},
      {"open", protect::native<open_body>},
      {"read_some", protect::native<read_some_body>},
      {"write_some", protect::native<write_some_body>},
      {"seek", protect::native<seek_body>},
      {"flush", protect::native<flush_body>},
      {"close", protect::native<close_body>},
  };
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
