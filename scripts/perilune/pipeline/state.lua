-- What a project keeps between runs, in .perilune/: the lock of the run under way, the database of runs, steps, fingerprints and
-- effects, and the logs. A crash at any moment leaves what was committed before it; what a run writes is committed within a
-- fiftieth of a second, the intent and the result of an effect at once and for good.
local fs = require "perilune.fs"
local any_json = require "perilune.pipeline.any_json"
local peri = require "perilune"
local system = require "perilune.native.system"
local text = require "perilune.pipeline.text"

local state = {}
local store = {}
store.__index = store

local version <const> = 2 -- of the tables; others are dropped, and with them what has been made counts as unknown
local commit_delay <const> = 0.02 -- seconds in which steps that end are gathered
local patience <const> = 5 -- seconds for the rest of a run that was killed

local tables = {
  "CREATE TABLE runs (id TEXT PRIMARY KEY, file TEXT, started REAL, ended REAL, status TEXT, request TEXT, resumes TEXT)",
  "CREATE TABLE steps (run TEXT, key TEXT, state TEXT, reason TEXT, code INTEGER, signal TEXT, attempts INTEGER,"
    .. " started REAL, duration REAL, log TEXT, value TEXT, fingerprint TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID",
  "CREATE TABLE made (key TEXT PRIMARY KEY, run TEXT, fingerprint TEXT, parts TEXT, outputs TEXT, value TEXT)",
  "CREATE TABLE effects (key TEXT PRIMARY KEY, run TEXT, fingerprint TEXT, done INTEGER)",
}

local function folder_of(project) return project .. "/.perilune" end

local function open_store(folder, fields)
  fields.folder = folder
  return setmetatable(fields, store)
end

-- For whoever only looks: the database, which is left as it is; or nil where nothing has run yet.
function state.look(project)
  local folder = folder_of(project)
  local path = folder .. "/state.db"
  if not fs.exists(path) then return nil end
  local db = require("perilune.db").open(path, { read_only = true })
  if db:query("PRAGMA user_version")[1].user_version ~= version then
    db:close()
    return nil
  end
  return open_store(folder, { db = db })
end

local function dead(lock_path)
  local ok, pid = pcall(fs.read, lock_path)
  return ok and pid:match("^%d+") and not fs.exists("/proc/" .. pid:match("^%d+"))
end

-- What has been killed leaves a lock for as long as its processes are being ended.
local function take_lock(folder)
  local path = folder .. "/lock"
  local lock, until_ = system.lock(path), peri.now() + patience
  while not lock and dead(path) and peri.now() < until_ do
    peri.sleep(0.02)
    lock = system.lock(path)
  end
  return lock or text.refuse(75, "another run holds %s", folder)
end

local function open_database(folder)
  local db = require("perilune.db").open(folder .. "/state.db")
  db:query("PRAGMA journal_mode = WAL")
  db:exec("PRAGMA synchronous = NORMAL")
  if db:query("PRAGMA user_version")[1].user_version ~= version then
    db:transaction(function()
      for _, name in ipairs { "runs", "steps", "made", "effects" } do db:exec("DROP TABLE IF EXISTS " .. name) end
      for _, statement in ipairs(tables) do db:exec(statement) end
      db:exec("PRAGMA user_version = " .. version)
    end)
  end
  -- Nobody knows when it ended; for certain not before its last step.
  db:exec("UPDATE runs SET status = 'interrupted', ended = (SELECT max(started + duration) FROM steps WHERE run = runs.id) "
    .. "WHERE status = 'running'")
  return db
end

local function prepare(folder)
  fs.mkdir(folder .. "/runs", { recursive = true })
  if not fs.exists(folder .. "/.gitignore") then fs.write(folder .. "/.gitignore", "*\n") end
end

function state.refuse_broken(folder, problem)
  text.refuse(1, "cannot keep the state of runs in %s: %s", folder, type(problem) == "userdata" and problem.message or tostring(problem))
end

-- For a run: locked, made where there is none. Refuses with 75 while another run has it.
function state.take(project)
  local folder = folder_of(project)
  local ok, lock = pcall(function()
    prepare(folder)
    return take_lock(folder)
  end)
  if not ok then
    if text.is_problem(lock) then error(lock, 0) end
    state.refuse_broken(folder, lock)
  end
  local opened, db = pcall(open_database, folder)
  if not opened then
    system.unlock(lock)
    state.refuse_broken(folder, db)
  end
  return open_store(folder, { db = db, lock = lock })
end

-- Writing -----------------------------------------------------------------------------------------------------------

local function begin(self)
  self.db:exec("BEGIN IMMEDIATE")
  self.writing = true
end

-- What is written until the next commit is one transaction.
function store:write(statement, ...)
  if not self.writing then
    peri.critical(begin, self) -- nobody else begins between the two
    if self.written then self.written:notify_one() end
  end
  self.db:exec(statement, ...)
end

function store:commit()
  if not self.writing then return end
  self.writing = false
  self.db:exec("COMMIT")
end

-- The task that commits; `broken(problem)` is told when that fails.
function store:keep_committing(broken)
  self.written = peri.notify()
  while true do
    self.written:wait()
    peri.sleep(commit_delay)
    local ok, problem = pcall(self.commit, self)
    if not ok then broken(problem) end
  end
end

function store:close()
  if self.db.open_ then pcall(self.commit, self) end
  self.db:close()
  if self.lock then system.unlock(self.lock) end
  self.lock = nil
end
store.__close = store.close

function store:run_folder(id) return self.folder .. "/runs/" .. id end

function store:begin_run(file, request, resumes)
  local stamp = os.date("!%Y%m%dT%H%M%S")
  local id, n = stamp, 1
  while fs.exists(self:run_folder(id)) or self:run(id) do
    n = n + 1
    id = stamp .. "-" .. n
  end
  fs.mkdir(self:run_folder(id) .. "/logs", { recursive = true })
  self.db:exec("INSERT INTO runs VALUES (?, ?, ?, NULL, 'running', ?, ?)", id, file, peri.clock(), any_json.readable(request), resumes)
  return id
end

function store:end_run(id, status)
  self:write("UPDATE runs SET status = ?, ended = ? WHERE id = ?", status, peri.clock(), id)
  self:commit()
end

function store:log_folder(run) return self:run_folder(run) .. "/logs" end

local longest_name <const> = 200

-- A key as the name of a file, a name of its own for each.
function store:log_path(run, key)
  local name = key:gsub("[/%c]", "_")
  if name ~= key or #name > longest_name then
    name = name:sub(1, longest_name) .. "-" .. require("perilune.hash").text(key):sub(1, 8)
  end
  return self:log_folder(run) .. "/" .. name .. ".log"
end

function store:record(run, step, outcome, value)
  self:write("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", run, step.key, outcome.state, outcome.reason,
             outcome.code, outcome.signal, outcome.attempts, outcome.started, outcome.duration, outcome.log, value,
             outcome.fingerprint)
end

function store:remember(key, run, print, value)
  self:write("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?)", key, run, print.hash, print.parts, print.outputs, value)
end

-- Before a step touches its outputs: from here on they are not to be trusted.
function store:forget(key)
  self:write("DELETE FROM made WHERE key = ?", key)
  self:commit()
end

local function for_good(self, statement, ...)
  self:commit()
  self.db:exec("PRAGMA synchronous = FULL")
  self.db:exec(statement, ...)
  self.db:exec("PRAGMA synchronous = NORMAL")
end

function store:set_effect(key, run, fingerprint, done)
  for_good(self, "INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?)", key, run, fingerprint, done)
end

function store:drop_effect(key) for_good(self, "DELETE FROM effects WHERE key = ?", key) end

-- Reading -----------------------------------------------------------------------------------------------------------

-- A run that was killed said no last word: while nobody holds the lock, none is under way.
local function with_true_status(self, rows)
  for _, row in ipairs(rows) do
    if row.status == "running" and not self:is_held() then row.status = "interrupted" end
  end
  return rows
end

-- "last" is the newest.
function store:run(id)
  local found
  if id == nil or id == "last" then
    found = self.db:query("SELECT * FROM runs ORDER BY started DESC, rowid DESC LIMIT 1")
  else
    found = self.db:query("SELECT * FROM runs WHERE id = ?", id)
  end
  return with_true_status(self, found)[1]
end

function store:runs() return with_true_status(self, self.db:query("SELECT * FROM runs ORDER BY started DESC, rowid DESC")) end
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

-- The newest run before one that has a log of a step.
function store:logged_before(id, key)
  local row = self.db:query("SELECT steps.run FROM steps JOIN runs ON runs.id = steps.run WHERE steps.key = ? AND steps.log IS NOT NULL AND"
    .. " runs.rowid < (SELECT rowid FROM runs WHERE id = ?) ORDER BY runs.rowid DESC LIMIT 1", key, id)[1]
  return row and row.run
end

-- What the newest run that had a step says of it.
function store:last_row(key)
  return self.db:query("SELECT steps.* FROM steps JOIN runs ON runs.id = steps.run WHERE steps.key = ? ORDER BY runs.started DESC,"
    .. " runs.rowid DESC LIMIT 1", key)[1]
end

function store:made(key) return self.db:query("SELECT * FROM made WHERE key = ?", key)[1] end
function store:effect(key) return self.db:query("SELECT * FROM effects WHERE key = ?", key)[1] end

-- Everything that has been made, by key; of the fingerprints only their hashes, without the parts.
function store:all_made()
  local by_key = {}
  for _, row in ipairs(self.db:query("SELECT key, run, fingerprint, outputs, value FROM made")) do by_key[row.key] = row end
  return by_key
end

-- What a run and those that it resumed have brought to an end, by key: the newest row of each, and the ids of these runs.
function store:chain(id)
  local rows, ids = {}, {}
  while id and not ids[id] do
    ids[id] = true
    for _, row in ipairs(self:steps_of(id)) do
      if not rows[row.key] then rows[row.key] = row end
    end
    local run = self:run(id)
    id = run and run.resumes
  end
  return rows, ids
end

return state
