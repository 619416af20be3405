-- The commands on pipelines. Each returns the exit code. Those that only look write nothing.
local json = require "perilune.json"
local any_json = require "perilune.pipeline.any_json"
local past_step = require "perilune.pipeline.past_step"
local record = require "perilune.pipeline.record"
local resolve = require "perilune.pipeline.resolve"
local run = require "perilune.pipeline.run"
local state = require "perilune.pipeline.state"
local style = require "perilune.pipeline.style"
local terminal = require "perilune.pipeline.terminal"
local text = require "perilune.pipeline.text"
local verdicts = require "perilune.pipeline.verdicts"

local commands = {}

local function print_json(value) print(any_json.readable(value, { indent = 2 })) end

-- A step that the pipeline names, or that a fan-out or a run is known to have: the step where there is one, and its row in the
-- last run that had it.
local function find_step(pipeline, key, store)
  if not key then text.refuse(2, "which step?") end
  local step, row = pipeline.by_key[key], nil
  if not step then step, row = past_step.find(pipeline, store, key) end
  if not step and not row then text.refuse(2, "unknown step '%s'%s", key, text.suggestion(key, text.sorted_keys(pipeline.by_key))) end
  return step, row
end

function commands.run(pipeline, values, words, behind)
  values.args = behind
  local wanted = run.wanted(pipeline, values, words)
  if values["dry-run"] then return commands.plan(pipeline, values, wanted) end
  return run.execute(pipeline, values, wanted, nil, words)
end

-- Commands that are modules of their own.
for _, name in ipairs { "clean", "watch" } do
  commands[name] = function(...) return require("perilune.pipeline." .. name)(...) end
end

-- What the earlier run was told holds, as far as it is not told anew.
local function take_over(values, request)
  for _, word in ipairs(values.param or {}) do table.insert(request.param, word) end
  values.param = request.param
  values["rerun-from"], values.from = values.from, nil
  for _, flag in ipairs { "only", "skip", "from", "until", "params-file", "env-file", "args" } do
    if values[flag] == nil then values[flag] = request[flag] end
  end
  for _, name in ipairs(request.hidden) do
    local given = false
    for _, word in ipairs(values.param) do given = given or word:sub(1, #name + 1) == name .. "=" end
    if not given then text.refuse(2, "parameter '%s' held a secret and was not kept; give -p %s=VALUE", name, name) end
  end
end

function commands.resume(pipeline, values, words, behind)
  local before, request
  do
    local store <close> = state.look(pipeline.folder)
    before = store and store:run(words[1])
    if not before then text.refuse(2, "there is no run %sto resume", words[1] and words[1] .. " " or "") end
    request = json.decode(before.request)
  end
  if #behind > 0 then values.args = behind end
  take_over(values, request)
  if pipeline.asked_early then pipeline = pipeline.read_again(values) end
  return run.execute(pipeline, values, run.wanted(pipeline, values, request.targets), before.id, request.targets)
end

-- What hides the pipeline's secrets in texts of the file, which may name the variables that hold them.
local function mask_of(pipeline, values)
  if next(pipeline.secrets or {}) == nil then return function(words) return words end end
  return (select(2, run.scope(pipeline, values, true)))
end

function commands.list(pipeline, values)
  local mask, listed, width = mask_of(pipeline, values), {}, 0
  for i, step in ipairs(pipeline.steps) do
    listed[i] = { key = mask(step.key), name = mask(step.name), doc = step.doc and mask(step.doc), place = step.place,
                  needs = json.array(step.needs), after = json.array(step.after) }
    width = math.max(width, #listed[i].key)
  end
  if values.json then
    print_json(json.array(listed))
    return 0
  end
  for _, step in ipairs(listed) do
    print(step.doc and step.key .. (" "):rep(width - #step.key) .. "  " .. step.doc or step.key)
  end
  return 0
end

local function shown_retry(retry)
  return retry and { attempts = retry.attempts, backoff = json.array { retry.first, retry.max }, factor = retry.factor, jitter = retry.jitter,
                     on = retry.on and json.array(retry.on) }
end

local function shown_step(pipeline, step, view)
  local ready = resolve.step(pipeline, step, view.scope)
  return { key = step.key, doc = step.doc, place = step.place, needs = json.array(step.needs), after = json.array(step.after),
           when = step.when, ["if"] = step.condition_text, command = ready.shown, cwd = ready.cwd, env = ready.env,
           inputs = json.array(ready.inputs), outputs = json.array(ready.outputs), pool = step.pool, executor = step.executor or nil, timeout = step.timeout,
           grace = step.grace, retry = shown_retry(step.retry), matrix = step.matrix, item = step.item, limit = step.limit,
           each = type(step.each) == "function" and "(lua)" or step.each, fail = step.collect and "collect" or nil,
           effect = step.effect, capture = step.capture, interactive = step.interactive, finally = step.finally }
end

function commands.show(pipeline, values, words)
  local store <close> = state.look(pipeline.folder)
  local step, row = find_step(pipeline, words[1], store)
  if not step then
    print_json(past_step.shown(store, row))
    return 0
  end
  local view = verdicts.view(pipeline, values, true)
  print_json(view.mask:within(shown_step(pipeline, step, view)))
  return 0
end

-- The verdicts on a step, or on each row of its matrix.
local function judgements_on(pipeline, key, values, store)
  local step, row = find_step(pipeline, key, store)
  if not step then return { verdicts.judged(key, past_step.verdict(pipeline, store, row)) } end
  local view, list = verdicts.view(pipeline, values, true), {}
  for i, member in ipairs(step.members or { step.key }) do
    list[i] = verdicts.judged(member, verdicts.of(pipeline, pipeline.by_key[member] or step, view, store))
  end
  return #list > 0 and list or { verdicts.judged(key, verdicts.of(pipeline, step, view, store)) }
end

local function code_of(list)
  for _, one in ipairs(list) do
    if one.verdict == "would run" then return 10 end
  end
  return 0
end

local function line_of(one)
  local says_so = one.reason:sub(1, #one.verdict) == one.verdict
  return says_so and ("%s: %s"):format(one.key, one.reason) or ("%s: %s: %s"):format(one.key, one.verdict, one.reason)
end

function commands.why(pipeline, values, words)
  local store <close> = state.look(pipeline.folder)
  local list = judgements_on(pipeline, words[1], values, store)
  if values.json then
    print_json(json.array(list))
  else
    for _, one in ipairs(list) do print(line_of(one)) end
  end
  return code_of(list)
end

-- What is certain to be told by a run of a set of steps; nothing where a value that is wrong keeps it from being known.
local function foreseen_warnings(pipeline, values, wanted)
  local ok, warnings = pcall(function()
    local view = verdicts.view(pipeline, values, true)
    return view.mask:within(require("perilune.pipeline.makers").foreseen(pipeline, wanted, view.scope))
  end)
  if not ok and not text.is_problem(warnings) then error(warnings, 0) end
  return ok and warnings or {}
end

local function tell_warnings(warnings)
  io.stdout:flush()
  for _, one in ipairs(warnings) do io.stderr:write(("perilune: %s: warning: %s\n"):format(one.place, one.message)) end
end

function commands.plan(pipeline, values, wanted)
  local list = verdicts.foresee(pipeline, values, wanted)
  if values.json then
    print_json(json.array(list))
    return 0
  end
  tell_warnings(foreseen_warnings(pipeline, values, wanted))
  for _, one in ipairs(list) do
    local command = one.verdict == "would run" and ("%s: %s"):format(one.key, one.command)
    print(command and values.verbose and ("%s [%s]"):format(command, one.reason) or command or line_of(one))
  end
  return 0
end

local function stale_steps(pipeline, values)
  local store <close> = state.look(pipeline.folder)
  local view, stale = verdicts.view(pipeline, values, true), json.array {}
  for _, step in ipairs(pipeline.steps) do
    local fresh, reason = verdicts.of(pipeline, step, view, store)
    if not fresh then stale[#stale + 1] = verdicts.judged(step.key, fresh, reason) end
  end
  return stale
end

-- {file, line, column, message} of a line that begins with a place.
local function located(file, line)
  local at, number, rest = line:match("^(.-):(%d+):(.*)$")
  local column, behind = (rest or ""):match("^(%d+):%s*(.*)$")
  return { file = at or file, line = tonumber(number), column = tonumber(column), message = behind or rest and rest:match("^%s*(.*)$") or line }
end

-- check --json of a file that is none.
function commands.tell_problems(file, message)
  local problems = json.array {}
  for line in message:gmatch("[^\n]+") do problems[#problems + 1] = located(file, line) end
  print_json { file = file, problems = problems }
end

local function counted(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

function commands.check(pipeline, values)
  local stale = values.stale and stale_steps(pipeline, values)
  local warnings = foreseen_warnings(pipeline, values, run.wanted(pipeline, values, {}))
  if values.json then
    local list = {}
    for i, one in ipairs(warnings) do list[i] = located(pipeline.file, ("%s: %s"):format(one.place, one.message)) end
    print_json { file = pipeline.file, steps = #pipeline.steps, problems = json.array {}, warnings = json.array(list), stale = stale or nil }
    return stale and code_of(stale) or 0
  end
  tell_warnings(warnings)
  for _, one in ipairs(stale or {}) do print(one.key .. ": " .. one.reason) end
  if not stale then
    print(("%s: %s, %s"):format(pipeline.file, counted(#pipeline.steps, "step"), #warnings > 0 and counted(#warnings, "warning") or "no problems"))
  end
  return stale and code_of(stale) or 0
end

local function need_store(pipeline)
  return state.look(pipeline.folder) or text.refuse(2, "nothing has run here yet")
end

function commands.history(pipeline, values)
  local history = require "perilune.pipeline.history"
  local store <close> = state.look(pipeline.folder)
  if values.json then
    print(history.json(store))
    return 0
  end
  local reader = terminal.reader(values)
  print(table.concat(history.lines(store, style.new(reader.color_out, reader.unicode)), "\n"))
  return 0
end

local function find_run(store, id) return store:run(id) or text.refuse(2, "there is no run '%s'", tostring(id)) end

function commands.graph(pipeline, values)
  local of = { name = pipeline.name, steps = pipeline.steps }
  if values.run then
    local store <close> = need_store(pipeline)
    local data = record.of(store, find_run(store, values.run))
    of.steps, of.run = data.steps, data.run
  end
  io.write(mask_of(pipeline, values)((require("perilune.pipeline.graph").draw(of, values.format or "dot"))))
  return 0
end

-- A step that a run took as it was has its log where it was done.
local function log_from_before(store, id, key)
  local row = store:step_of(id, key)
  local before = row and row.state == "cached" and store:logged_before(id, key)
  if not before then return false end
  io.stderr:write(("perilune: run %s took it as it was; this is from run %s\n"):format(id, before))
  return require("perilune.pipeline.logs")(store, before, key)
end

function commands.logs(pipeline, values, words)
  local store <close> = need_store(pipeline)
  local id = find_run(store, words[1]).id
  local found = require("perilune.pipeline.logs")(store, id, words[2], values.follow)
  found = found or words[2] and log_from_before(store, id, words[2])
  if words[2] and not found then
    local keys = {}
    for i, row in ipairs(store:steps_of(id)) do keys[i] = row.key end
    text.refuse(2, "run %s has no log of a step '%s'%s", id, words[2], text.suggestion(words[2], keys))
  end
  return 0
end

function commands.report(pipeline, values, words)
  local store <close> = need_store(pipeline)
  local report = require "perilune.pipeline.report"
  local requests = report.requests(values)
  local data = record.of(store, find_run(store, words[1]))
  if #requests == 0 or values.format then io.write((report.render(data, values.format or "json"))) end
  local problem = report.write(data, requests)
  return problem and text.refuse(1, "%s", problem) or 0
end

return commands
