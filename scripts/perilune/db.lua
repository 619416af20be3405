-- perilune.db: SQLite. A statement runs to its end at once, so it should be short. Failures raise kind "io".
local native = require "perilune.native.db"
local options = require "perilune.native.options"

local error, io, pcall, select, setmetatable, type = error, io, pcall, select, setmetatable, type

local db = {}
local database = {}
database.__index = database
database.__name = "perilune.database"

local function check_call(self, sql, name)
  if type(sql) ~= "string" then
    error(("bad argument #1 to '%s' (an SQL statement expected, got %s)"):format(name, type(sql)), 3)
  end
  if not self.open_ then error("the database is closed", 3) end
end

-- `place`: of the parameter that is no value of a database.
local function refuse(name, place, kind)
  error(("bad argument #%d to '%s' (a number, string, boolean or nil expected, got %s)"):format(place + 1, name, kind), 3)
end

function database:exec(sql, ...)
  check_call(self, sql, "exec")
  local rows, changed = native.query(self.open_, sql, ...)
  return rows and changed or refuse("exec", changed, type((select(changed, ...))))
end

function database:query(sql, ...)
  check_call(self, sql, "query")
  local rows, place = native.query(self.open_, sql, ...)
  return rows or refuse("query", place, type((select(place, ...))))
end

-- All or nothing. The function must not wait: there is one connection.
function database:transaction(fn, ...)
  native.query(self.open_, "BEGIN IMMEDIATE")
  local ok, result = pcall(fn, ...)
  native.query(self.open_, ok and "COMMIT" or "ROLLBACK")
  if not ok then error(result, 0) end
  return result
end

function database:close()
  if self.open_ then native.close(self.open_) end
  self.open_ = nil
end
database.__close = database.close

-- A path as a URI that leaves everything as it is. Where no writer has left a journal none is made, so nothing need be writable.
local function read_only_name(path)
  local journal = io.open(path .. "-wal")
  if journal then journal:close() end
  local escaped = path:gsub("[%%?#]", function(c) return ("%%%02x"):format(c:byte()) end)
  return "file:" .. escaped .. "?mode=ro" .. (journal and "" or "&immutable=1")
end

function db.open(path, opts)
  if type(path) ~= "string" then error(("bad argument #1 to 'open' (a path expected, got %s)"):format(type(path)), 2) end
  if opts ~= nil then
    local problem = options.problem(opts, "open", { "read_only" })
    if problem then error(problem, 2) end
  end
  local read_only = opts and opts.read_only
  return setmetatable({ open_ = native.open(read_only and read_only_name(path) or path, read_only) }, database)
end

return db
