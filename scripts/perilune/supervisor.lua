-- peri.supervisor: a task that keeps others running, as OTP's supervisors do.
--
-- Children live in a shield, so that a cancellation of the supervisor does not reach them all at once: it stops them one by
-- one, the last started first, each within its own time.
local peri = require "perilune"
local native = require "perilune.native.groups"
local options = require "perilune.native.options"
local backoff = require "perilune.backoff"

local error, ipairs, pairs, setmetatable, tostring, type = error, ipairs, pairs, setmetatable, tostring, type
local callable, huge = options.callable, math.huge

local supervisor_names = { "strategy", "intensity", "period", "children", "auto_shutdown", "name", "on_failure" }
local child_names = { "name", "start", "restart", "backoff", "shutdown", "significant" }
local strategies = { one_for_one = true, one_for_all = true, rest_for_one = true }
local restarts = { permanent = true, transient = true, temporary = true }
local shutdowns = { never = true, any_significant = true, all_significant = true }

local function refuse(what) error(what, 0) end

local function choice(value, default, known, name)
  if value == nil then return default end
  if not known[value] then
    local names = {}
    for each in pairs(known) do names[#names + 1] = '"' .. each .. '"' end
    table.sort(names)
    refuse(("bad option '%s' to 'supervisor' (one of %s expected, got %s)"):format(name, table.concat(names, ", "), tostring(value)))
  end
  return value
end

local function seconds(value, default, name)
  if value == nil then return default end
  if type(value) ~= "number" or not (value >= 0) then
    refuse(("bad option '%s' to 'supervisor' (seconds expected, got %s)"):format(name, tostring(value)))
  end
  return value
end

local function read_child(given, i)
  if type(given) ~= "table" then refuse(("bad option 'children[%d]' to 'supervisor' (a table expected, got %s)"):format(i, type(given))) end
  if given[1] == nil then
    local problem = options.problem(given, "supervisor", child_names)
    if problem then refuse(problem) end
  end
  local child = { name = given.name or given[1] or "child " .. i, start = given.start or given[2], place = i }
  if type(child.name) ~= "string" then
    refuse(("bad option 'children[%d].name' to 'supervisor' (a string expected, got %s)"):format(i, type(child.name)))
  end
  if not callable(child.start) then
    refuse(("bad option 'children[%d].start' to 'supervisor' (a function expected, got %s)"):format(i, type(child.start)))
  end
  child.restart = choice(given.restart, "permanent", restarts, "restart")
  child.shutdown = seconds(given.shutdown, 5, "shutdown")
  child.significant = given.significant == true
  local plan, problem = backoff.read(given.backoff, "supervisor")
  if not plan then refuse(problem) end
  child.plan, child.failures = plan, 0
  return child
end

local function read(opts)
  if type(opts) ~= "table" then refuse(("bad argument #1 to 'supervisor' (a table of options expected, got %s)"):format(type(opts))) end
  local problem = options.problem(opts, "supervisor", supervisor_names)
  if problem then refuse(problem) end
  local self = { children = {}, recent = {}, of = {} }
  self.strategy = choice(opts.strategy, "one_for_one", strategies, "strategy")
  self.auto_shutdown = choice(opts.auto_shutdown, "never", shutdowns, "auto_shutdown")
  local intensity = opts.intensity == nil and 1 or opts.intensity
  self.intensity = intensity == huge and huge or options.count(intensity, 0)
  if not self.intensity then
    refuse(("bad option 'intensity' to 'supervisor' (a non-negative integer expected, got %s)"):format(tostring(intensity)))
  end
  self.period = seconds(opts.period, 5, "period")
  if opts.on_failure ~= nil and not callable(opts.on_failure) then
    refuse(("bad option 'on_failure' to 'supervisor' (a function expected, got %s)"):format(type(opts.on_failure)))
  end
  self.on_failure = opts.on_failure or function(name, e)
    peri.log.warn("a supervised task failed", { child = name, error = tostring(e) })
  end
  if type(opts.children) ~= "table" or #opts.children == 0 then refuse("bad option 'children' to 'supervisor' (a list of at least one child expected)") end
  for i, given in ipairs(opts.children) do self.children[i] = read_child(given, i) end
  return self
end

local supervisor = {}
supervisor.__index = supervisor

function supervisor:start_due()
  local now = peri.now()
  for _, child in ipairs(self.children) do
    if child.due and child.due <= now then
      child.due, child.started = nil, now
      child.task = self.set:spawn({ name = child.name }, child.start)
      self.of[child.task] = child
    end
  end
end

-- Ends a child: asked first, killed when its time has passed.
function supervisor:stop(child)
  local task = child.task
  child.due, child.task = nil, nil
  if not task then return end
  self.of[task] = nil
  task:cancel("stopped by its supervisor")
  local ok, e = task:join(child.shutdown)
  if ok == nil then
    task:kill("outlived its shutdown time")
    ok, e = task:join()
  end
  if ok == false and e.kind ~= "cancelled" then self.on_failure(child.name, e) end
end

function supervisor:stop_from(first)
  for i = #self.children, first, -1 do self:stop(self.children[i]) end
end

-- Counts a restart; false when there were too many.
function supervisor:may_restart(e)
  local now, kept = peri.now(), {}
  for _, each in ipairs(self.recent) do
    if now - each.at <= self.period then kept[#kept + 1] = each end
  end
  kept[#kept + 1] = { at = now, e = e }
  self.recent = kept
  return #kept <= self.intensity
end

function supervisor:give_up(child, e)
  self:stop_from(1)
  local errors = {}
  for _, each in ipairs(self.recent) do errors[#errors + 1] = each.e end
  error(native.failure("error", {
    reason = "restart intensity",
    errors = errors,
    message = ("restart intensity exceeded: %d restarts within %g s; the last: %s"):format(
      #self.recent, self.period, e and tostring(e) or child.name .. " ended"),
  }), 0)
end

function supervisor:restart(child, e)
  if not self:may_restart(e) then self:give_up(child, e) end
  local first, last = child.place, child.place
  if self.strategy ~= "one_for_one" then last = #self.children end
  if self.strategy == "one_for_all" then first = 1 end
  if self.strategy ~= "one_for_one" then self:stop_from(first) end
  local now = peri.now()
  child.failures = now - child.started >= self.period and 1 or child.failures + 1
  local due = now + backoff.pause(child.plan, child.failures)
  for i = first, last do
    local each = self.children[i]
    if each == child or each.restart ~= "temporary" then each.due = due end
  end
end

-- Whether the end of this child is that of the supervisor.
function supervisor:ends_with(child)
  if not child.significant or self.auto_shutdown == "never" then return false end
  if self.auto_shutdown == "any_significant" then return true end
  for _, each in ipairs(self.children) do
    if each.significant and (each.task or each.due) then return false end
  end
  return true
end

-- A child has ended by itself. True when the supervisor ends with it.
function supervisor:child_ended(child, ok, e)
  child.task = nil
  local failure = not ok and e or nil
  if failure and failure.kind ~= "cancelled" then self.on_failure(child.name, failure) end
  local failed = failure ~= nil and failure.kind ~= "cancelled"
  if child.restart == "permanent" or child.restart == "transient" and failed then
    self:restart(child, failure)
    return false
  end
  return self:ends_with(child)
end

function supervisor:next_due()
  local due, running
  for _, child in ipairs(self.children) do
    if child.due and (not due or child.due < due) then due = child.due end
    running = running or child.task ~= nil
  end
  return due, running
end

-- Waits for what happens next. True when the supervisor is to end.
function supervisor:step()
  self:start_due()
  local due, running = self:next_due()
  if not due and not running then return true end
  local arms = { self.stopping:wait_op() }
  if #self.set > 0 then arms[#arms + 1] = self.set:join_next_op():wrap(function(...) return "ended", ... end) end
  if due then arms[#arms + 1] = peri.until_op(due) end
  local key, what, task, ok, e = peri.select(arms)
  if key == 1 then return true end
  local child = what == "ended" and self.of[task]
  if not child then return false end
  self.of[task] = nil
  return self:child_ended(child, ok, e)
end

function supervisor:run()
  local set <close> = peri.join_set()
  self.set = set
  local now = peri.now()
  for _, child in ipairs(self.children) do child.due = now end
  while not self:step() do end
  self:stop_from(1)
end

-- Outside of the shield: feels the cancellation of the supervisor, and tells it.
local function watch(stopping)
  local _ <close> = setmetatable({}, { __close = function() stopping:cancel("the supervisor was cancelled") end })
  peri.sleep(huge)
end

return function(opts)
  local ok, self = pcall(read, opts)
  if not ok then error(self, 2) end
  setmetatable(self, supervisor)
  return (peri.spawn({ name = opts.name or "supervisor" }, function()
    self.stopping = peri.token()
    peri.spawn({ name = "watch", daemon = true }, watch, self.stopping)
    peri.yield() -- a task that has not begun would never learn of its cancellation
    peri.shield(self.run, self)
    peri.yield() -- where a cancellation that has stopped the children ends the supervisor
  end))
end
