-- `run` and `resume`: reads what they are to do, holds the lock, has the steps run, and ends with the exit code.
local fs = require "perilune.fs"
local json = require "perilune.json"
local log = require "perilune.log"
local orphans = require "perilune.native.orphans"
local peri = require "perilune"
local system = require "perilune.native.system"
local ends = require "perilune.pipeline.ends"
local events = require "perilune.pipeline.events"
local execution = require "perilune.pipeline.execution"
local lua_print = require "perilune.pipeline.lua_print"
local masking = require "perilune.pipeline.masker"
local output = require "perilune.pipeline.output"
local params = require "perilune.pipeline.params"
local record = require "perilune.pipeline.record"
local report = require "perilune.pipeline.report"
local reruns = require "perilune.pipeline.reruns"
local reuse = require "perilune.pipeline.reuse"
local selection = require "perilune.pipeline.selection"
local state = require "perilune.pipeline.state"
local stopping = require "perilune.pipeline.stopping"
local terminal = require "perilune.pipeline.terminal"
local text = require "perilune.pipeline.text"

local run = {}

run.wanted = selection.wanted
run.signal_numbers = stopping.numbers

local function processors()
  local ok, listed = pcall(fs.read, "/proc/self/status")
  local list, n = ok and listed:match("Cpus_allowed_list:%s*(%S+)") or "", 0
  for first, last in list:gmatch("(%d+)%-?(%d*)") do n = n + (last == "" and 1 or last - first + 1) end
  return math.max(n, 1)
end

-- Whoever looks at the machine's processes reads no secret in the words of this one.
local function mask_title(mask)
  local words, hides = system.title(), false
  for i, word in ipairs(words) do
    words[i] = mask(word)
    hides = hides or words[i] ~= word
  end
  if hides then system.set_title(words) end
end

-- Everything a step's templates may name, the masker, and what the environment adds. lenient: for whoever only looks.
function run.scope(pipeline, values, lenient)
  local environment, own = params.environment(pipeline.settings, pipeline.folder, values["env-file"])
  local arguments = values.args or {}
  local given = params.read(pipeline.params or {}, params.given(values.param), values["params-file"], environment, lenient)
  local secrets = params.secrets(pipeline.secrets or {}, environment, pipeline.folder, lenient, given)
  local scope = { params = given, env = environment,
                  secrets = secrets, steps = {}, args = arguments, keep_unknown = lenient,
                  run = { args = text.command_line(arguments) } }
  params.expand_settings(pipeline.settings, scope, own)
  local mask = masking.new(secrets)
  mask_title(mask)
  return scope, mask, own
end

local function set_pools(pipeline, values)
  for _, word in ipairs(values.pool or {}) do
    local name, size = word:match("^([^=]+)=(%d+)$")
    if not name or tonumber(size) < 1 then text.refuse(2, "--pool NAME=N expected, got '%s'", word) end
    if not pipeline.pools[name] then
      text.refuse(2, "--pool: there is no pool '%s'%s", name, text.suggestion(name, text.sorted_keys(pipeline.pools)))
    end
    pipeline.pools[name] = math.tointeger(tonumber(size))
  end
end

local function read_options(pipeline, values)
  set_pools(pipeline, values)
  local jobs = values.jobs or pipeline.settings.jobs or "auto"
  local options = {
    jobs = jobs == "auto" and processors() or jobs, keep_going = values["keep-going"] and not values["fail-fast"],
    force = values.force, no_cache = values["no-cache"], max_load = values["max-load"], step_timeout = values["step-timeout"],
    retry = { attempts = (values.retries or 0) + 1, first = 1, max = 60, factor = 2, jitter = 0 },
    grace = values.grace or text.duration(pipeline.settings.grace) or 10, yes = values.yes,
    skip = selection.names(pipeline, values.skip), rerun = {}, named = {},
  }
  return options
end

-- The wanted steps in order, as the first event tells them.
local function planned(pipeline, wanted, mask)
  local keys, steps, last = json.array {}, json.array {}, ends.of(pipeline.steps, wanted)
  for _, step in ipairs(pipeline.steps) do
    if wanted[step.key] then
      keys[#keys + 1] = step.key
      steps[#steps + 1] = { key = step.key, name = step.name, doc = step.doc and mask(step.doc), place = step.place, needs = step.needs, after = step.after,
                          executor = step.executor or nil, last = last[step.key] or nil }
    end
  end
  return keys, steps
end

-- As it is typed where the run was started; `entered`: the folder of -C. nil for a pipeline from standard input, which cannot be
-- read again.
local function resume_command(pipeline, id, entered)
  if pipeline.file == "stdin" then return nil end
  local words = { "perilune", "resume" }
  if entered then table.move({ "-C", entered }, 1, 2, 3, words) end
  if pipeline.file ~= "perilune.toml" then table.move({ "-f", pipeline.file }, 1, 2, #words + 1, words) end
  words[#words + 1] = id
  return text.command_line(words)
end

-- What a later resume has to know: without values that hold secrets, which have to be given again.
local kept_flags <const> = { "only", "skip", "from", "until" }

function run.request(values, targets, mask)
  local request = { targets = targets, param = {}, hidden = {}, args = values.args, ["params-file"] = values["params-file"],
                    ["env-file"] = values["env-file"] }
  for _, flag in ipairs(kept_flags) do request[flag] = values[flag] end
  for _, word in ipairs(values.param or {}) do
    local hidden = mask:hides(word)
    table.insert(hidden and request.hidden or request.param, hidden and word:match("^[^=]+") or word)
  end
  return mask:within(request)
end

local function runs_lua(pipeline)
  for _, step in ipairs(pipeline.steps) do
    if step.fn or step.lua or step.make then return true end
  end
  return false
end

-- A failure in a task of a Lua step that nobody looks at makes the run one that failed, unless the script has taken over the
-- reporting. Returns what has those told that have not been found yet, which goes back to the way of scripts.
local function watch_unobserved(work)
  if not runs_lua(work.pipeline) then return nil end
  local function report(_, e)
    work.unobserved = true
    local told = { "perilune: unobserved failure: " .. tostring(e) }
    if e.spawned_at then told[#told + 1] = "  spawned at " .. e.spawned_at end
    told[#told + 1] = e.traceback
    local message = work.mask(table.concat(told, "\n"))
    if log.sink_ then log.sink_(message) else lua_print.aside(io.stderr.write, io.stderr, message, "\n") end
  end
  local of_script = peri.on_unobserved(report)
  if of_script then peri.on_unobserved(of_script) end
  return peri.defer(function()
    collectgarbage()
    peri.yield()
    local last = peri.on_unobserved(nil)
    if last ~= report then peri.on_unobserved(last) end
  end)
end

-- Returns the exit code.
local function finish(work, began, id, kept, reports, shown, entered)
  local status = work.broken and "failure" or work:status()
  local ok, problem = pcall(work.store.end_run, work.store, id, status)
  if not ok then
    work:break_off(problem)
    status = "failure"
  end
  if ok and fs.exists(work.store.folder .. "/jobs") then require("perilune.pipeline.executor_folder").tidy(work.store) end
  work.events:emit("run_finished", { run = id, status = status, duration = peri.now() - began, counts = work.counts,
                                     first_failure = work.first_failure, broken = work.broken,
                                     resume = resume_command(work.pipeline, id, entered) })
  local written, problem_of_record = pcall(kept.keep, kept, work.store.folder)
  local trouble = written and report.write(kept.data, reports) or not written and problem_of_record.message
  if trouble then shown:complain(trouble) end
  return work.code or (work.first_failure or work.broken or work.unobserved or trouble) and 1 or 0
end

-- Ends the guard, and the task that commits, however the run ends.
local function keep_safe(work, store)
  orphans.adopt()
  orphans.set_guard(work.folder, store.lock)
  local committing = peri.spawn({ name = "commit", daemon = true }, store.keep_committing, store, function(problem) work:break_off(problem) end)
  return peri.defer(function()
    committing:cancel()
    committing:join()
    orphans.drop_guard()
  end)
end

-- Until what it returns is closed, records of peri.log show no secret.
local function mask_log(mask)
  if not mask:hides_any() then return nil end
  log.mask_ = mask
  return peri.defer(function() log.mask_ = nil end)
end

-- Runs the set of steps; `resumes` is the id of an earlier run whose results count, `token` ends the run when cancelled.
function run.execute(pipeline, values, wanted, resumes, targets, token)
  local reader, reports = terminal.reader(values), report.requests(values)
  local scope, mask, own = run.scope(pipeline, values)
  local options = read_options(pipeline, values)
  local stream, kept = events.new(mask), record.new()
  local store <close> = state.take(pipeline.folder)
  if resumes then reruns.add(options, pipeline, values, store, resumes) end
  local _ <close> = peri.defer(function(problem)
    if problem then pcall(kept.keep, kept, store.folder) end
  end)
  local shown <close> = output.open(reader, kept, function() return store:durations() end)
  stream:listen(function(event) kept:hear(event) end)
  stream:listen(shown.listener)
  local id = store:begin_run(pipeline.file, run.request(values, targets, mask), resumes)
  scope.run.id = id
  local work = execution.new { pipeline = pipeline, options = options, scope = scope, own_environment = own, events = stream, mask = mask,
                               store = store, run = id, folder = store:run_folder(id), resumes = resumes }
  local safe <close> = keep_safe(work, store)
  local logged <close> = mask_log(mask)
  local ahead <close> = reuse.foresee(work, wanted)
  local keys, steps = planned(pipeline, wanted, mask)
  stream:emit("run_started", { run = id, pipeline = pipeline.name, file = pipeline.file, total = #keys, keys = keys, steps = steps,
                               jobs = options.jobs, resumed_from = resumes })
  local began = peri.now()
  do
    local watching <close> = watch_unobserved(work)
    stopping.go(work, wanted, values.timeout or text.duration(pipeline.settings.timeout), token)
  end
  return finish(work, began, id, kept, reports, shown, values.entered)
end

return run
