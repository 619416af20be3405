-- perilune.db: SQLite. A statement runs to its end at once, so it should be short. Failures raise kind "io".
local critical = require("perilune").critical
local native = require "perilune.native.db"
local options = require "perilune.native.options"

local error, getmetatable, io, pcall, select, setmetatable, table, type = error, getmetatable, io, pcall, select, setmetatable, table, type

local db = {}
local database = {}
database.__index = database
database.__name = "perilune.database"

local function check_open(self, level)
  if getmetatable(self) ~= database then error("bad argument #1 (a database expected: call it with ':')", level) end
  if not self.open_ then error("the database is closed", level) end
end

local function check_call(self, sql, name)
  check_open(self, 4)
  if type(sql) ~= "string" then
    error(("bad argument #1 to '%s' (an SQL statement expected, got %s)"):format(name, type(sql)), 3)
  end
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

-- What is left of a transaction that did not get to its end, whatever ended it.
local unfinished = {}
function unfinished:__close()
  if self.of.open_ and not self.committed then pcall(native.query, self.of.open_, "ROLLBACK") end
end

-- All or nothing: an error or a cancellation undoes it. There is one connection, so what other tasks wrote meanwhile would be in the
-- transaction too: nobody else has a turn.
function database:transaction(fn, ...)
  check_open(self, 3)
  if not options.callable(fn) then error(("bad argument #1 to 'transaction' (a function expected, got %s)"):format(type(fn)), 2) end
  native.query(self.open_, "BEGIN IMMEDIATE")
  local undone <close> = setmetatable({ of = self }, unfinished)
  local results = table.pack(critical(fn, ...))
  check_open(self, 3)
  native.query(self.open_, "COMMIT")
  undone.committed = true
  return table.unpack(results, 1, results.n)
end

function database:close()
  if getmetatable(self) ~= database then error("bad argument #1 to 'close' (a database expected: call it with ':')", 2) end
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
  if path:find("\0", 1, true) then error("bad argument #1 to 'open' (a path holds no zero byte)", 2) end
  if opts ~= nil then
    local problem = options.problem(opts, "open", { "read_only" })
    if problem then error(problem, 2) end
  end
  local read_only = opts and opts.read_only
  return setmetatable({ open_ = native.open(read_only and read_only_name(path) or path, read_only, path) }, database)
end

return db
