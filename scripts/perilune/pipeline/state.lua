-- What a project keeps between runs, in .perilune/: the lock of the run under way, the database of runs, steps and
-- fingerprints, and the logs. A crash at any moment leaves what was committed before it.
local fs = require "perilune.fs"
local json = require "perilune.json"
local peri = require "perilune"
local system = require "perilune.native.system"
local text = require "perilune.pipeline.text"

local state = {}
local store = {}
store.__index = store

local layout = {
  "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, file TEXT, started REAL, ended REAL, status TEXT, request TEXT)",
  "CREATE TABLE IF NOT EXISTS steps (run TEXT, key TEXT, state TEXT, reason TEXT, code INTEGER, signal TEXT, attempts INTEGER,"
    .. " started REAL, duration REAL, log TEXT, value TEXT, fingerprint TEXT, PRIMARY KEY (run, key))",
  "CREATE TABLE IF NOT EXISTS made (key TEXT PRIMARY KEY, run TEXT, fingerprint TEXT, parts TEXT, outputs TEXT)",
  "CREATE TABLE IF NOT EXISTS effects (key TEXT PRIMARY KEY, run TEXT, fingerprint TEXT, done INTEGER)",
}

local function folder_of(project) return project .. "/.perilune" end

-- For whoever only looks: the database, or nil where nothing has run yet.
function state.look(project)
  local path = folder_of(project) .. "/state.db"
  if not fs.exists(path) then return nil end
  return setmetatable({ folder = folder_of(project), db = require("perilune.db").open(path) }, store)
end

-- For a run: locked, made where there is none. Refuses with 75 while another run has it.
function state.take(project)
  local folder = folder_of(project)
  fs.mkdir(folder .. "/runs", { recursive = true })
  if not fs.exists(folder .. "/.gitignore") then fs.write(folder .. "/.gitignore", "*\n") end
  local lock = system.lock(folder .. "/lock")
  if not lock then text.refuse(75, "another run holds %s", folder) end
  local db = require("perilune.db").open(folder .. "/state.db")
  db:query("PRAGMA journal_mode = WAL")
  db:exec("PRAGMA synchronous = NORMAL")
  for _, statement in ipairs(layout) do db:exec(statement) end
  db:exec("UPDATE runs SET status = 'interrupted', ended = ? WHERE status = 'running'", peri.clock())
  return setmetatable({ folder = folder, db = db, lock = lock }, store)
end

function store:close()
  self.db:close()
  if self.lock then system.unlock(self.lock) end
  self.lock = nil
end
store.__close = store.close

function store:begin_run(file, request)
  local stamp = os.date("!%Y%m%dT%H%M%S")
  local id, n = stamp, 1
  while fs.exists(self.folder .. "/runs/" .. id) do
    n = n + 1
    id = stamp .. "-" .. n
  end
  fs.mkdir(self.folder .. "/runs/" .. id .. "/logs", { recursive = true })
  self.db:exec("INSERT INTO runs VALUES (?, ?, ?, NULL, 'running', ?)", id, file, peri.clock(), json.encode(request))
  return id
end

function store:end_run(id, status)
  self.db:exec("UPDATE runs SET status = ?, ended = ? WHERE id = ?", status, peri.clock(), id)
end

function store:log_folder(run) return self.folder .. "/runs/" .. run .. "/logs" end

function store:log_path(run, key)
  return self:log_folder(run) .. "/" .. key:gsub("[/%z]", "_") .. ".log"
end

-- "last" is the newest.
function store:run(id)
  if id == nil or id == "last" then return self.db:query("SELECT * FROM runs ORDER BY started DESC, id DESC LIMIT 1")[1] end
  return self.db:query("SELECT * FROM runs WHERE id = ?", id)[1]
end

function store:runs() return self.db:query("SELECT * FROM runs ORDER BY started DESC, id DESC") end
function store:steps_of(run) return self.db:query("SELECT * FROM steps WHERE run = ? ORDER BY started", run) end

-- {run = {state = n}}
function store:counts()
  local counts = {}
  for _, row in ipairs(self.db:query("SELECT run, state, COUNT(*) AS n FROM steps GROUP BY run, state")) do
    counts[row.run] = counts[row.run] or {}
    counts[row.run][row.state] = row.n
  end
  return counts
end

-- Whether a run holds the lock. It is only looked at: to try it would keep a run from beginning.
function store:is_held()
  local ok, found = pcall(fs.stat, self.folder .. "/lock")
  if not ok then return false end
  local known, locks = pcall(fs.read, "/proc/locks")
  if not known then return true end
  for inode in locks:gmatch("FLOCK%s+%S+%s+%S+%s+%S+%s+%x+:%x+:(%d+)") do
    if tonumber(inode) == found.inode then return true end
  end
  return false
end

-- {key = seconds} of the steps that succeeded in the last runs; of each the newest.
function store:durations()
  local durations = {}
  for _, row in ipairs(self.db:query("SELECT key, duration FROM steps WHERE state = 'succeeded' AND run IN (SELECT id FROM runs"
      .. " ORDER BY started DESC LIMIT 10) ORDER BY started")) do
    durations[row.key] = row.duration
  end
  return durations
end

function store:step_of(run, key) return self.db:query("SELECT * FROM steps WHERE run = ? AND key = ?", run, key)[1] end
function store:made(key) return self.db:query("SELECT * FROM made WHERE key = ?", key)[1] end
function store:forget(key) self.db:exec("DELETE FROM made WHERE key = ?", key) end

function store:remember(key, run, print)
  self.db:exec("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?)", key, run, print.hash, json.encode(print.parts),
               json.encode(print.outputs))
end

function store:record(run, step, outcome, value)
  self.db:exec("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", run, step.key, outcome.state,
               outcome.reason, outcome.code, outcome.signal, outcome.attempts, outcome.started, outcome.duration, outcome.log,
               value, outcome.fingerprint)
end

function store:effect(key) return self.db:query("SELECT * FROM effects WHERE key = ?", key)[1] end
function store:set_effect(key, run, fingerprint, done)
  self.db:exec("INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?)", key, run, fingerprint, done)
end
function store:drop_effect(key) self.db:exec("DELETE FROM effects WHERE key = ?", key) end

return state
