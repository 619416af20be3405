-- The commands on pipelines. Each returns the exit code. Those that only look write nothing.
local fs = require "perilune.fs"
local json = require "perilune.json"
local fingerprint = require "perilune.pipeline.fingerprint"
local past_step = require "perilune.pipeline.past_step"
local record = require "perilune.pipeline.record"
local resolve = require "perilune.pipeline.resolve"
local run = require "perilune.pipeline.run"
local state = require "perilune.pipeline.state"
local style = require "perilune.pipeline.style"
local terminal = require "perilune.pipeline.terminal"
local text = require "perilune.pipeline.text"

local commands = {}

local function print_json(value) print(json.encode(value, { indent = 2 })) end

-- A step that the pipeline names, or that a fan-out or a run is known to have: the step where there is one, and its row in the
-- last run that had it.
local function find_step(pipeline, key, store)
  if not key then text.refuse(2, "which step?") end
  local step, row = pipeline.by_key[key], nil
  if not step then step, row = past_step.find(pipeline, store, key) end
  if not step and not row then text.refuse(2, "unknown step '%s'%s", key, text.suggestion(key, text.sorted_keys(pipeline.by_key))) end
  return step, row
end

local function show_plan(pipeline, wanted, values)
  local scope, mask, own = run.scope(pipeline, values)
  for _, step in ipairs(pipeline.steps) do
    if wanted[step.key] and (step.argv or step.sh or step.lua or step.fn) then
      local ok, ready = pcall(resolve.step, pipeline, step, scope, own)
      print(step.key .. ": " .. mask(ok and ready.shown or step.sh or text.command_line(step.argv or {})))
    end
  end
  return 0
end

function commands.run(pipeline, values, words, behind)
  values.args = behind
  local wanted = run.wanted(pipeline, values, words)
  if values["dry-run"] then return show_plan(pipeline, wanted, values) end
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
    if not before then text.refuse(2, "there is no run %s to resume", words[1] or "") end
    request = json.decode(before.request)
  end
  if #behind > 0 then values.args = behind end
  take_over(values, request)
  if pipeline.asked_early then pipeline = pipeline.read_again(values) end
  return run.execute(pipeline, values, run.wanted(pipeline, values, request.targets), before.id, request.targets)
end

function commands.list(pipeline, values)
  if values.json then
    local listed = {}
    for i, step in ipairs(pipeline.steps) do listed[i] = { key = step.key, doc = step.doc, needs = json.array(step.needs) } end
    print_json(json.array(listed))
    return 0
  end
  local width = 0
  for _, step in ipairs(pipeline.steps) do width = math.max(width, #step.key) end
  for _, step in ipairs(pipeline.steps) do
    print(step.doc and ("%-" .. width .. "s  %s"):format(step.key, step.doc) or step.key)
  end
  return 0
end

local function resolved(pipeline, step, values)
  local scope, mask, own = run.scope(pipeline, values, true)
  return resolve.step(pipeline, step, scope, own), mask, { mask = mask, own_environment = own, environment = scope.env }
end

local function shown_step(pipeline, step, values)
  local ready, mask = resolved(pipeline, step, values)
  return { key = step.key, doc = step.doc, place = step.place, needs = json.array(step.needs), after = json.array(step.after),
           when = step.when, ["if"] = step.condition_text, command = ready.shown, cwd = ready.cwd, env = ready.env,
           inputs = json.array(ready.inputs), outputs = json.array(ready.outputs), pool = step.pool, timeout = step.timeout }, mask
end

function commands.show(pipeline, values, words)
  local store <close> = state.look(pipeline.folder)
  local step, row = find_step(pipeline, words[1], store)
  if not step then
    print_json(past_step.shown(store, row))
    return 0
  end
  local shown, mask = shown_step(pipeline, step, values)
  print(mask(json.encode(shown, { indent = 2 })))
  return 0
end

local function verdict_of(pipeline, step, values, store)
  if step.each then return false, "what it fans out to is known when it runs" end
  local ready, _, context = resolved(pipeline, step, values)
  if not ready.shown then return true, "it only stands for what it needs" end
  return fingerprint.verdict(ready, fingerprint.of(ready, step, context), store and store:made(step.key))
end

function commands.why(pipeline, values, words)
  local store <close> = state.look(pipeline.folder)
  local step, row = find_step(pipeline, words[1], store)
  local fresh, reason
  if step then
    fresh, reason = verdict_of(pipeline, step, values, store)
  else
    fresh, reason = past_step.verdict(pipeline, store, row)
  end
  print(("%s: %s: %s"):format(words[1], fresh and "up to date" or "would run", reason))
  return fresh and 0 or 10
end

function commands.check(pipeline, values)
  if not values.stale then
    print(("%s: %d steps, no problems"):format(pipeline.file, #pipeline.steps))
    return 0
  end
  local store <close> = state.look(pipeline.folder)
  local code = 0
  for _, step in ipairs(pipeline.steps) do
    local fresh, reason = verdict_of(pipeline, step, values, store)
    if not fresh then
      print(step.key .. ": " .. reason)
      code = 10
    end
  end
  return code
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
  io.write((require("perilune.pipeline.graph").draw(of, values.format or "dot")))
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
  if words[2] and not found then text.refuse(2, "run %s has no log of a step '%s'", id, words[2]) end
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
