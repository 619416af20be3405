-- What would become of steps in a run, as far as it can be known without one: for why, check --stale and --dry-run. Writes nothing.
local fingerprint = require "perilune.pipeline.fingerprint"
local order = require "perilune.pipeline.order"
local params = require "perilune.pipeline.params"
local resolve = require "perilune.pipeline.resolve"
local run = require "perilune.pipeline.run"
local selection = require "perilune.pipeline.selection"
local state = require "perilune.pipeline.state"
local text = require "perilune.pipeline.text"

local verdicts = {}

-- What is needed to look at steps: {scope, mask, own_environment, environment}. lenient: also where parameters are missing.
function verdicts.view(pipeline, values, lenient)
  local scope, mask, own = run.scope(pipeline, values, lenient)
  return { scope = scope, mask = mask, own_environment = own, environment = scope.env }
end

-- Whether the condition of a step is known not to hold: what becomes of other steps is no part of it.
local function is_left_out(step, scope)
  local condition = step.condition_text
  if not condition or step.judges_items or condition:find("run.", 1, true) or condition:find("steps.", 1, true) then return false end
  return not step.condition(resolve.names(step, scope))
end

local function known_only_in_a_run(step)
  for _, name in ipairs(step.names) do
    if name:match("^steps%.") then return name end
  end
end

-- A parameter that the step names, and that has no value.
local function missing_parameter(pipeline, step, scope)
  for _, name in ipairs(step.names) do
    local parameter = name:match("^params%.(.+)$")
    local declared = parameter and (pipeline.params or {})[parameter]
    if declared and params.is_blank(parameter, declared, scope.params[parameter]) then return parameter end
  end
end

-- Whether a step need not run, and why or why not.
function verdicts.of(pipeline, step, view, store)
  if is_left_out(step, view.scope) then return true, "if: " .. step.condition_text end
  if step.each then return false, "what it fans out to is known when it runs" end
  local ready = resolve.step(pipeline, step, view.scope)
  if not ready.shown then return true, "it only stands for what it needs" end
  if step.effect then return false, "it has an effect" end
  local missing = missing_parameter(pipeline, step, view.scope)
  if missing then return false, ("parameter '%s' is required; give -p %s=VALUE to know more"):format(missing, missing) end
  local unknown = #step.outputs > 0 and known_only_in_a_run(step)
  if unknown then return false, ("${%s} is known when it runs"):format(unknown) end
  return fingerprint.verdict(ready, fingerprint.of(ready, step, view), store and store:made(step.key))
end

function verdicts.judged(key, fresh, reason, left_out)
  left_out = left_out or fresh and reason:match("^if: ")
  return { key = key, verdict = left_out and "would be skipped" or fresh and "up to date" or "would run", reason = reason }
end

local of_no_success <const> = { failure = "nothing failed", cancelled = "the run was not cancelled" }

-- What would become of a step in a run where nothing fails. `remade`: whether something before it makes its outputs anew, which
-- counts as if they changed.
local function foreseen(pipeline, step, view, store, options, remade)
  if options.skip[step.key] or options.skip[step.name] then return verdicts.judged(step.key, true, "--skip", true) end
  if of_no_success[step.when] then return verdicts.judged(step.key, true, of_no_success[step.when], true) end
  local ok, fresh, reason = pcall(verdicts.of, pipeline, step, view, store)
  if not ok then fresh, reason = false, tostring(fresh) end
  if fresh and not reason:match("^if: ") then
    if options.force then fresh, reason = false, "forced" end
    if options.no_cache then fresh, reason = false, "--no-cache" end
    if remade then fresh, reason = false, "what it needs would run" end
  end
  return verdicts.judged(step.key, fresh, reason)
end

local function shown_command(pipeline, step, view)
  local ok, ready = pcall(resolve.step, pipeline, step, view.scope)
  return view.mask(ok and ready.shown or step.sh or text.command_line(step.argv or {}))
end

-- The wanted steps that do something, in an order in which they may run, and what would become of each.
function verdicts.foresee(pipeline, values, wanted)
  local view = verdicts.view(pipeline, values, false)
  view.scope.keep_unknown = true
  local options = { skip = selection.names(pipeline, values.skip), force = values.force, no_cache = values["no-cache"] }
  local store <close> = state.look(pipeline.folder)
  local list, makes_anew = {}, {}
  for _, step in ipairs(order.sorted(pipeline.steps)) do
    local remade = false
    for _, key in ipairs(step.needs) do remade = remade or makes_anew[key] end
    if not wanted[step.key] then
      remade = false
    elseif step.argv or step.sh or step.lua or step.fn or step.make then
      local one = foreseen(pipeline, step, view, store, options, remade)
      one.command = shown_command(pipeline, step, view)
      list[#list + 1] = one
      remade = one.verdict == "would run" and (remade or #step.outputs > 0)
    end
    makes_anew[step.key] = remade
  end
  return list
end

return verdicts
