-- `perilune watch`: runs the targets, and again whenever the content of what they depend on has changed. A pass that is under way
-- then is ended first, with its processes. A touched file with the same content is no change.
local fs = require "perilune.fs"
local peri = require "perilune"
local signal = require "perilune.signal"
local fingerprint = require "perilune.pipeline.fingerprint"
local load_file = require "perilune.pipeline.load"
local modules = require "perilune.pipeline.modules"
local run = require "perilune.pipeline.run"
local text = require "perilune.pipeline.text"
local watch_set = require "perilune.pipeline.watch_set"

local session = {}
session.__index = session

local default_debounce <const> = 0.1
local patience <const> = 20 -- times the debounce: so long changes may follow each other before they are looked at

local function say(...)
  io.stdout:flush()
  io.stderr:write("watch: ", table.concat { ... }, "\n")
end

local function say_problem(problem)
  io.stdout:flush()
  for line in tostring(problem):gmatch("[^\n]+") do io.stderr:write("perilune: ", line, "\n") end
end

local function copy(map)
  local made = {}
  for key, value in pairs(map) do made[key] = value end
  return made
end

-- Watching places ---------------------------------------------------------------------------------------------------

-- One for each place; it ends with the place, or when the place is no longer of interest.
function session:follow(path, whole)
  local ok, watcher = pcall(fs.watch, path, { recursive = whole })
  if not ok then return end
  local entry = { watcher = watcher, whole = whole }
  self.watchers[path] = entry
  peri.spawn({ name = "watch " .. path, daemon = true }, function()
    for event in watcher:events() do
      if self.set:matters(event.path) then self.changed:notify_one() end
    end
    if self.watchers[path] == entry then self.watchers[path] = nil end
    self.changed:notify_one()
  end)
end

function session:follow_all()
  local places = self.set:places()
  for path, entry in pairs(self.watchers) do
    if places[path] ~= entry.whole then
      self.watchers[path] = nil
      entry.watcher:close()
    end
  end
  for path, whole in pairs(places) do
    if not self.watchers[path] then self:follow(path, whole) end
  end
end

-- Waits until nothing has happened for a while.
function session:settle()
  local last = peri.now() + patience * self.debounce
  repeat local more = peri.try_timeout(self.debounce, self.changed.wait, self.changed) until not more or peri.now() > last
end

-- What the next pass depends on, and what it looks like now; what was seen earlier, before the file was read, counts more.
function session:look_at(set, earlier)
  self.set = set
  self:follow_all()
  self.seen = set:snapshot()
  for path, content in pairs(earlier or {}) do
    if self.seen[path] then self.seen[path] = content end
  end
end

-- After a pass: steps that were added while it ran have inputs too. What has changed since the pass began stays a change.
function session:look_again(plan)
  local before, known = self.seen, self.set:snapshot()
  self:look_at(watch_set.of(plan.pipeline, self.values, plan.watched, self.set))
  for path in pairs(self.seen) do
    if known[path] then self.seen[path] = before[path] end
  end
  for path, content in pairs(before) do self.seen[path] = content end
end

-- Passes ------------------------------------------------------------------------------------------------------------

-- The pipeline as its file is now, and what to run of it.
function session:plan(pipeline, earlier)
  if not pipeline then
    modules.forget()
    pipeline = load_file.read(self.path, self.shown, self.values)
  end
  if not pipeline then text.refuse(3, "%s returns no pipeline", self.shown) end
  local wanted = run.wanted(pipeline, self.values, self.targets)
  local planned = copy(pipeline.by_key)
  local function watched(step) return wanted[step.key] or not planned[step.key] end
  self:look_at(watch_set.of(pipeline, self.values, watched, self.set), earlier)
  return { pipeline = pipeline, wanted = wanted, watched = watched }
end

function session:start(plan, token)
  local values = copy(self.values)
  return peri.spawn({ name = "pass" }, run.execute, plan.pipeline, values, plan.wanted, nil, self.targets, token)
end

-- Only problems of the file or the command are told; anything else is an error of this program.
local function tell(ok, problem)
  if ok then return true end
  if peri.is_error(problem) and text.is_problem(problem.value) then problem = problem.value end
  if not text.is_problem(problem) then error(problem, 0) end
  say_problem(problem)
end

-- Waits, also beyond the end of the pass, for a change or a signal, whose name is returned.
function session:wait(plan, pass, listener)
  while true do
    local first, a, problem = peri.select { pass = pass and pass:join_op(), changed = self.changed:wait_op(),
                                            signal = listener:recv_op() }
    if first == "signal" then return a end
    if first == "pass" then
      pass = nil
      if tell(a, problem) then self:look_again(plan) end
      say("waiting for changes")
    else
      self:settle()
      self:follow_all()
      local path, how = fingerprint.first_difference(self.seen, self.set:snapshot())
      if path then return say(path, " ", how) end
    end
  end
end

-- Returns the name of the signal that ended it.
function session:go(pipeline, listener)
  local ok, plan = true, self:plan(pipeline)
  while true do
    local token = peri.token()
    local pass = ok and self:start(plan, token) or nil
    local name = self:wait(plan, pass, listener)
    token:cancel(name and "SIG" .. name or "a change")
    if pass then pass:join() end
    if name then return name end
    local earlier = self.set:snapshot()
    ok, plan = pcall(self.plan, self, nil, earlier)
    if not tell(ok, plan) then self:look_at(self.set, earlier) end
  end
end

return function(pipeline, values, words)
  if pipeline.file == "stdin" then text.refuse(2, "watch: a file expected, standard input cannot be watched") end
  local self = setmetatable({
    shown = pipeline.file, path = pipeline.folder .. "/" .. pipeline.file:match("[^/]*$"),
    values = values, targets = words, debounce = values.debounce or default_debounce, watchers = {}, changed = peri.notify(),
  }, session)
  local listener <close> = signal.listen("INT", "TERM", "HUP")
  return 128 + run.signal_numbers[self:go(pipeline, listener)]
end
