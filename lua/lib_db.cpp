// The native half of perilune.db: a SQLite database as a userdata, used by the VM's thread. Statements are short; a database
// that another process holds is waited for at most `busy_ms`. What scripts pass is checked in scripts/perilune/db.lua.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <sqlite3.h>

#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"

namespace perilune {

namespace {

constexpr int busy_ms = 5000;

// Statements with parameters, and those around a transaction, come again, so the last few stay prepared, the newest first. Others do
// not: a PRAGMA acts when it is prepared. The statement under way stands here, so that it is let go even where Lua raises for want of memory.
struct lua_database {
  static constexpr std::uint64_t tag = 0x64617461'7c1e9b52ULL;
  sqlite3* open = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::array<sqlite3_stmt*, 8> kept{};

  // Leaves it in `statement`, which is null for a text that says nothing, and in `behind` where the text goes on.
  int prepare(std::string_view sql, const char*& behind) {
    behind = sql.data() + sql.size();
    const auto same = [sql](sqlite3_stmt* one) { return one && sqlite3_sql(one) == sql; };
    const auto found = std::find_if(kept.begin(), kept.end(), same);
    if (found == kept.end())
      return sqlite3_prepare_v3(open, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                                &behind);
    statement = std::exchange(*found, nullptr);
    return SQLITE_OK;
  }
  static bool comes_again(sqlite3_stmt* one) {
    const std::string_view sql = sqlite3_sql(one);
    return sqlite3_bind_parameter_count(one) > 0 || sql.starts_with("BEGIN") || sql.starts_with("COMMIT");
  }
  void end_statement() {
    sqlite3_stmt* ended = std::exchange(statement, nullptr);
    if (ended && comes_again(ended)) {
      sqlite3_reset(ended);
      sqlite3_clear_bindings(ended);
      const auto place = std::find(kept.begin(), kept.end() - 1, nullptr);
      std::swap(ended, *place);
      std::rotate(kept.begin(), place, place + 1);
    }
    sqlite3_finalize(ended);
  }
  void close() {
    end_statement();
    for (sqlite3_stmt*& one : kept) sqlite3_finalize(std::exchange(one, nullptr));
    sqlite3_close_v2(open);
    open = nullptr;
  }
};

reply raise_sqlite(vm& v, sqlite3* open, const std::string& doing) {
  const int code = sqlite3_system_errno(open);
  return raise_error(v, {error_kind::io, doing + ": " + sqlite3_errmsg(open), code, {}});
}

reply open_body(lua_State* L, vm& v) {
  const char* path = lua_tostring(L, 1);
  auto& made = push_object<lua_database>(L, type_name::database, 0);
  const int access = lua_toboolean(L, 2) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  if (sqlite3_open_v2(path, &made.open, access | SQLITE_OPEN_URI, nullptr) != SQLITE_OK)
    return raise_sqlite(v, made.open, std::string("open ") + lua_tostring(L, 3));
  sqlite3_busy_timeout(made.open, busy_ms);
  return 1;
}

// Texts stay where Lua has them: they are arguments of the call that carries the statement out.
int bind(lua_State* L, sqlite3_stmt* statement, int place, int at) {
  std::size_t size = 0;
  switch (lua_type(L, at)) {
    case LUA_TNUMBER:
      return lua_isinteger(L, at) ? sqlite3_bind_int64(statement, place, lua_tointeger(L, at))
                                  : sqlite3_bind_double(statement, place, lua_tonumber(L, at));
    case LUA_TBOOLEAN:
      return sqlite3_bind_int(statement, place, lua_toboolean(L, at));
    case LUA_TSTRING: {
      const char* text = lua_tolstring(L, at, &size);
      return sqlite3_bind_text64(statement, place, text, size, SQLITE_STATIC, SQLITE_UTF8);
    }
    case LUA_TNIL:
      return sqlite3_bind_null(statement, place);
    default:
      return SQLITE_MISMATCH;
  }
}

void push_column(lua_State* L, sqlite3_stmt* row, int column) {
  switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
      lua_pushinteger(L, sqlite3_column_int64(row, column));
      break;
    case SQLITE_FLOAT:
      lua_pushnumber(L, sqlite3_column_double(row, column));
      break;
    case SQLITE_NULL:
      lua_pushnil(L);
      break;
    default: {
      const void* bytes = sqlite3_column_blob(row, column);
      lua_pushlstring(L, static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(row, column)));
    }
  }
}

// `names`: where the list of the names of columns is.
void push_row(lua_State* L, sqlite3_stmt* row, int names) {
  const int columns = sqlite3_column_count(row);
  lua_createtable(L, 0, columns);
  for (int i = 0; i < columns; ++i) {
    lua_rawgeti(L, names, i + 1);
    push_column(L, row, i);
    lua_rawset(L, -3);
  }
}

// Carries the statement out and leaves the list of its rows on the stack; returns how its last step went.
int push_rows(lua_State* L, sqlite3_stmt* statement) {
  const int names = lua_gettop(L) + 1;
  const int columns = sqlite3_column_count(statement);
  lua_createtable(L, columns, 0);
  for (int i = 0; i < columns; ++i) {
    lua_pushstring(L, sqlite3_column_name(statement, i));
    lua_rawseti(L, names, i + 1);
  }
  lua_newtable(L);
  lua_Integer rows = 0;
  int step = SQLITE_DONE;
  while (statement && (step = sqlite3_step(statement)) == SQLITE_ROW) {
    push_row(L, statement, names);
    lua_rawseti(L, -2, ++rows);
  }
  return step;
}

// Whether a text has no statement in it, only blanks and comments.
bool says_nothing(std::string_view sql) {
  for (;;) {
    sql.remove_prefix(std::min(sql.find_first_not_of("; \t\r\n\f"), sql.size()));
    const std::string_view end = sql.starts_with("--") ? "\n" : sql.starts_with("/*") ? "*/" : "";
    if (end.empty()) return sql.empty();
    const std::size_t at = sql.find(end, 2);
    if (at == sql.npos) return true;
    sql.remove_prefix(at + end.size());
  }
}

// query(db, sql, ...) -> list of rows by column name, the number of changed rows; or nil and which parameter is no value
reply query_body(lua_State* L, vm& v) {
  auto& db = object_at<lua_database>(L, 1);
  if (!db.open) return raise_text(v, "the database is closed");
  db.end_statement();
  std::size_t size = 0;
  const char* sql = lua_tolstring(L, 2, &size);
  const char* behind = nullptr;
  if (db.prepare({sql, size}, behind) != SQLITE_OK) return raise_sqlite(v, db.open, "prepare");
  if (!says_nothing({behind, static_cast<std::size_t>(sql + size - behind)}))
    return raise_error(v, {error_kind::io, "prepare: one statement expected, and another stands behind it", 0, {}});
  const int last = lua_gettop(L);
  for (int at = 3; at <= last; ++at) {
    const int bound = bind(L, db.statement, at - 2, at);
    if (bound == SQLITE_MISMATCH) {
      lua_pushnil(L);
      lua_pushinteger(L, at - 2);
      return 2;
    }
    if (bound != SQLITE_OK) return raise_sqlite(v, db.open, "parameter");
  }
  if (push_rows(L, db.statement) != SQLITE_DONE) return raise_sqlite(v, db.open, "execute");
  db.end_statement();
  lua_pushinteger(L, sqlite3_changes(db.open));
  return 2;
}

reply close_body(lua_State* L, vm&) {
  object_at<lua_database>(L, 1).close();
  return 0;
}

}  // namespace

int open_db(lua_State* L) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<close_body>}};
  define_type(L, type_name::database, "perilune.database", {}, metamethods);
  constexpr library_function functions[] = {{"open", protect::native<open_body>},
                                            {"query", protect::native<query_body>},
                                            {"close", protect::native<close_body>}};
  lua_createtable(L, 0, 3);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
