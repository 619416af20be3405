-- `run` and `resume`: chooses the steps, holds the lock, listens to signals, and ends with the exit code.
local fs = require "perilune.fs"
local json = require "perilune.json"
local peri = require "perilune"
local signal = require "perilune.signal"
local events = require "perilune.pipeline.events"
local execution = require "perilune.pipeline.execution"
local output = require "perilune.pipeline.output"
local params = require "perilune.pipeline.params"
local record = require "perilune.pipeline.record"
local report = require "perilune.pipeline.report"
local state = require "perilune.pipeline.state"
local terminal = require "perilune.pipeline.terminal"
local text = require "perilune.pipeline.text"

local run = {}

run.signal_numbers = { HUP = 1, INT = 2, TERM = 15 }

local function set_of(list)
  local set = {}
  for _, words in ipairs(list or {}) do
    for word in words:gmatch("[^,]+") do set[word] = true end
  end
  return set
end

local function processors()
  local ok, listed = pcall(fs.read, "/proc/self/status")
  local list, n = ok and listed:match("Cpus_allowed_list:%s*(%S+)") or "", 0
  for first, last in list:gmatch("(%d+)%-?(%d*)") do n = n + (last == "" and 1 or last - first + 1) end
  return math.max(n, 1)
end

local function checked(pipeline, names)
  for _, name in ipairs(names) do
    if not pipeline.by_key[name] then
      text.refuse(2, "unknown target '%s'%s", name, text.suggestion(name, text.sorted_keys(pipeline.by_key)))
    end
  end
  return names
end

local function all_keys(pipeline)
  local keys = {}
  for i, step in ipairs(pipeline.steps) do keys[i] = step.key end
  return keys
end

-- Steps that run after the wanted ones whatever became of them.
local function add_followers(pipeline, wanted)
  local more = true
  while more do
    more = false
    for _, step in ipairs(pipeline.steps) do
      if not wanted[step.key] and (step.when ~= "success" or step.finally) and #step.needs == 0 then
        for _, key in ipairs(step.after) do
          if wanted[key] then
            wanted[step.key], more = true, true
            break
          end
        end
      end
    end
  end
end

local function downstream(pipeline, roots)
  local reached, more = set_of(roots), true
  while more do
    more = false
    for _, step in ipairs(pipeline.steps) do
      for _, key in ipairs(not reached[step.key] and step.needs or {}) do
        if reached[key] then reached[step.key], more = true, true end
      end
    end
  end
  return reached
end

-- The set of keys to run.
function run.wanted(pipeline, values, targets)
  if values.only then
    local only = text.sorted_keys(set_of(values.only))
    return set_of(checked(pipeline, only))
  end
  local roots = checked(pipeline, #targets > 0 and targets or values["until"] or pipeline.settings.default or all_keys(pipeline))
  local wanted = pipeline:closure(roots)
  add_followers(pipeline, wanted)
  if values.from then
    local reached = downstream(pipeline, checked(pipeline, values.from))
    for key in pairs(wanted) do
      if not reached[key] then wanted[key] = nil end
    end
  end
  return wanted
end

-- Everything a step's templates may name, the masker, and what the environment adds.
function run.scope(pipeline, values, lenient)
  local given = {}
  for _, word in ipairs(values.param or {}) do
    local name, value = word:match("^([^=]+)=(.*)$")
    if not name then text.refuse(2, "-p NAME=VALUE expected, got '%s'", word) end
    given[name] = value
  end
  local environment, own = params.environment(pipeline.settings, pipeline.folder, values["env-file"])
  local secrets = params.secrets(pipeline.secrets or {}, environment, pipeline.folder, lenient)
  local scope = { params = params.read(pipeline.params or {}, given, values["params-file"], lenient), env = environment,
                  secrets = secrets, steps = {}, run = { id = "", status = "" } }
  return scope, text.masker(secrets), own
end

local function read_options(pipeline, values)
  for _, word in ipairs(values.pool or {}) do
    local name, size = word:match("^([^=]+)=(%d+)$")
    if not name or tonumber(size) < 1 then text.refuse(2, "--pool NAME=N expected, got '%s'", word) end
    pipeline.pools[name] = math.tointeger(tonumber(size))
  end
  local jobs = values.jobs or pipeline.settings.jobs or "auto"
  return {
    jobs = jobs == "auto" and processors() or jobs, keep_going = values["keep-going"] and not values["fail-fast"],
    force = values.force, no_cache = values["no-cache"], retries = values.retries, step_timeout = values["step-timeout"],
    grace = values.grace or text.duration(pipeline.settings.grace) or 10, yes = values.yes, skip = set_of(values.skip),
    rerun = set_of(values.rerun),
  }
end

-- Starts nothing more and ends the processes: with TERM first, at once when asked again. The first reason stays.
local function stop(work, reason, code, count)
  if not work.stopped then work.stopped, work.code = reason, code end
  work.events:emit("stopping", { signal = reason, count = count or 1, waiting_for = text.sorted_keys(work.live) })
  work:end_processes(count == 2 and 0 or nil)
end

-- First: start nothing more, TERM; second: KILL; third: out.
local function obey_signals(work)
  local listener <close> = signal.listen("INT", "TERM", "HUP")
  local count = 0
  while true do
    local name = listener:recv()
    count = count + 1
    if count == 3 then os.exit(128 + run.signal_numbers[name]) end
    stop(work, "SIG" .. name, 128 + run.signal_numbers[name], count)
  end
end

local function limit_time(work, seconds)
  peri.sleep(seconds)
  stop(work, "--timeout", 124)
end

-- `token`: cancelled by whoever wants the run to end, with the reason.
local function obey_token(work, token)
  token:wait()
  stop(work, token.reason, 0)
end

local function go(work, wanted, timeout, token)
  local watchers = { peri.spawn({ name = "signals", daemon = true }, obey_signals, work) }
  if timeout then watchers[#watchers + 1] = peri.spawn({ name = "time limit", daemon = true }, limit_time, work, timeout) end
  if token then watchers[#watchers + 1] = peri.spawn({ name = "stop", daemon = true }, obey_token, work, token) end
  local status = work:go(wanted)
  for _, watcher in ipairs(watchers) do
    watcher:cancel()
    watcher:join()
  end
  return status
end

local function file_flag(pipeline)
  return pipeline.file == "perilune.toml" and "" or " -f " .. text.command_line { pipeline.file }
end

-- The wanted steps in order, as the first event tells them.
local function planned(pipeline, wanted)
  local keys, steps = json.array {}, json.array {}
  for _, step in ipairs(pipeline.steps) do
    if wanted[step.key] then
      keys[#keys + 1] = step.key
      steps[#steps + 1] = { key = step.key, name = step.name, doc = step.doc, place = step.place, needs = json.array(step.needs),
                            after = json.array(step.after) }
    end
  end
  return keys, steps
end

-- Runs the set of steps; `resumes` is the id of an earlier run whose results count, `token` ends the run when cancelled.
function run.execute(pipeline, values, wanted, resumes, request, token)
  local reader, reports = terminal.reader(values), report.requests(values)
  local scope, mask, own = run.scope(pipeline, values)
  scope.args = values.args
  local stream, kept = events.new(mask), record.new()
  local store <close> = state.take(pipeline.folder)
  local _ <close> = peri.defer(function() kept:keep(store.folder) end)
  local shown <close> = output.open(reader, kept, function() return store:durations() end)
  stream:listen(function(event) kept:hear(event) end)
  stream:listen(shown.listener)
  local id = store:begin_run(pipeline.file, request)
  local work = execution.new { pipeline = pipeline, options = read_options(pipeline, values), scope = scope, own_environment = own,
                               events = stream, mask = mask, store = store, run = id, resumes = resumes }
  local keys, steps = planned(pipeline, wanted)
  stream:emit("run_started", { run = id, pipeline = pipeline.name, file = pipeline.file, total = #keys, keys = keys, steps = steps,
                               jobs = work.options.jobs, resumed_from = resumes })
  local began = peri.now()
  local status = go(work, wanted, values.timeout or text.duration(pipeline.settings.timeout), token)
  store:end_run(id, status)
  stream:emit("run_finished", { run = id, status = status, duration = peri.now() - began, counts = work.counts,
                                first_failure = work.first_failure, resume = "perilune resume" .. file_flag(pipeline) .. " " .. id })
  local problem = report.write(kept.data, reports)
  if problem then shown:complain(problem) end
  return work.code or (work.first_failure or problem) and 1 or 0
end

return run
