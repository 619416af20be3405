-- What counts, in a database that all workers share: the result of each message, by queue and id, stored once. A queue delivers at least
-- once, so two workers may hold one message; the ledger has seen the greatest token, refuses who comes with an older one, and gives
-- everybody the result that counts when there is one. Each decision is one transaction; what runs between two of them may be run
-- twice, what is stored is stored once.
local json = require "perilune.json"
local option_checks = require "perilune.native.options"
local peri = require "perilune"

local error, getmetatable, pcall, setmetatable, tostring, type = error, getmetatable, pcall, setmetatable, tostring, type

local ledger = {}
ledger.__index = ledger
ledger.__name = "perilune.queue_ledger"

local made <const> = "CREATE TABLE IF NOT EXISTS perilune_ledger (queue TEXT, id TEXT, token INTEGER NOT NULL, counted REAL, result TEXT,"
  .. " PRIMARY KEY (queue, id)) WITHOUT ROWID"

-- On a database of perilune.db, which stays its opener's.
function ledger.new_(db)
  pcall(db.query, db, "PRAGMA journal_mode = WAL") -- who reads does not hold up who writes; while others have it open it may not change
  db:exec(made)
  return setmetatable({ db = db }, ledger)
end

local function check(self, call, message)
  if getmetatable(self) ~= ledger then error(("bad argument #1 to '%s' (a ledger expected: call it with ':')"):format(call), 3) end
  if type(message) ~= "table" or not message.token or not message.id then
    error(("bad argument #1 to '%s' (a message of a queue expected, got %s)"):format(call, type(message)), 3)
  end
end

local function row_of(self, message)
  return self.db:query("SELECT token, counted, result FROM perilune_ledger WHERE queue = ? AND id = ?", message.queue.name, message.id)[1]
end

local function result_of(row)
  if row.result == nil then return nil end
  return (json.decode(row.result))
end

-- What the ledger says to a token: "counted" and the result, "stale", or "held" from now on.
local function claim(self, message)
  return self.db:transaction(function()
    local row = row_of(self, message)
    if row and row.counted then return "counted", result_of(row) end
    if row and row.token > message.token then return "stale" end
    self.db:exec("INSERT INTO perilune_ledger (queue, id, token) VALUES (?, ?, ?) ON CONFLICT (queue, id) DO UPDATE SET token = excluded.token",
                 message.queue.name, message.id, message.token)
    return "held"
  end)
end

local function commit(self, message, text)
  return self.db:transaction(function()
    local row = row_of(self, message)
    if row and row.counted then return nil, "counted" end
    if row and row.token > message.token then return nil, "stale" end
    self.db:exec("INSERT INTO perilune_ledger VALUES (?, ?, ?, ?, ?) ON CONFLICT (queue, id) DO UPDATE SET token = excluded.token,"
      .. " counted = excluded.counted, result = excluded.result", message.queue.name, message.id, message.token, peri.clock(), text)
    return true
  end)
end

-- nil is a result too.
local function encoded(call, result, level)
  if result == nil then return nil end
  local ok, text = pcall(json.encode, result)
  if ok then return text end
  error(("bad result to '%s' (%s)"):format(call, (tostring(text):gsub("^%S+:%d+: ", ""))), level + 1)
end

-- true when the result counts now; nil and "stale" or "counted" when another's may, or does already.
function ledger:commit(message, result)
  check(self, "commit", message)
  local text = encoded("commit", result, 2)
  return commit(self, message, text)
end

-- fn(value, message) where no result counts yet: true, and the result that counts, which may be another's; or nil, "stale".
function ledger:once(message, fn)
  check(self, "once", message)
  if not option_checks.callable(fn) then error(("bad argument #2 to 'once' (a function expected, got %s)"):format(type(fn)), 2) end
  local verdict, result = claim(self, message)
  if verdict == "counted" then return true, result end
  if verdict == "stale" then return nil, "stale" end
  result = fn(message.value, message)
  local text = encoded("once", result, 2)
  local counts, why = commit(self, message, text)
  if counts then return true, result end
  if why == "stale" then return nil, "stale" end
  return true, result_of(row_of(self, message))
end

-- Whether a message counts, and its result.
function ledger:result(message)
  check(self, "result", message)
  local row = row_of(self, message)
  if not row or not row.counted then return false end
  return true, result_of(row)
end

-- Forgets what has counted for longer; returns how many. A message that comes again after that is run again.
function ledger:prune(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    error(("bad argument #1 to 'prune' (seconds expected, got %s)"):format(tostring(seconds)), 2)
  end
  return self.db:exec("DELETE FROM perilune_ledger WHERE counted < ?", peri.clock() - seconds)
end

return ledger
