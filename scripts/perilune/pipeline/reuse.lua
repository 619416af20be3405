-- What need not be done again: outputs that are up to date, and in a resumed run what an earlier one has brought to a good end.
local json = require "perilune.json"
local any_json = require "perilune.pipeline.any_json"
local fingerprint = require "perilune.pipeline.fingerprint"

local reuse = {}

-- Reads once what all steps are compared with.
function reuse.prepare(run)
  run.context = { mask = run.mask, own_environment = run.own_environment, environment = run.scope.env }
  run.made = run.store and run.store:all_made() or {}
  run.earlier, run.chain = {}, {}
  if run.resumes then run.earlier, run.chain = run.store:chain(run.resumes) end
end

local many <const> = 100

-- Where many of the wanted steps may be up to date, their files are read ahead until what this returns is closed; else nil.
function reuse.foresee(run, wanted)
  if run.options.force or run.options.no_cache then return nil end
  local steps = {}
  for _, step in ipairs(run.pipeline.steps) do
    if wanted[step.key] and run.made[step.key] then steps[#steps + 1] = step end
  end
  if #steps < many then return nil end
  run.foresight = require("perilune.pipeline.foresight").new(steps, run.pipeline.folder)
  return run.foresight
end

local no_value <const> = json.encode(json.null)

-- A value as it is kept: nil where it is none or holds a secret; then the step has to run when its value is needed again.
function reuse.kept_value(run, value)
  if value == nil then return no_value end
  local ok, written = pcall(json.encode, value)
  if not ok or run.mask:hides(written) then return nil end
  return written
end

local function restored(row)
  if row.value ~= no_value then return (json.decode(row.value)) end
end

local function is_named(set, step) return set[step.key] or set[step.name] end

-- What an earlier run has made of a step; with the parts of its fingerprint where that is not what it is now.
local function made_before(run, step, print)
  local made = run.made[step.key]
  if made and made.fingerprint ~= print.hash then return run.store:made(step.key) end
  return made
end

-- What the runs that are resumed say about a step: an outcome, or nil. What a run does whatever happens belongs to that run; an
-- effect is not repeated by force, but only where it is named.
local function from_earlier(run, step, ready, print)
  if run.is_always(step) and not step.effect then return nil end
  local before = run.earlier[step.key]
  if step.effect then
    local effect = run.store:effect(step.key)
    local done = effect and effect.done == 1 and run.chain[effect.run] or before and run.good[before.state]
    if not done or run.options.named[step.key] or run.options.named[step.name] then return nil end
    return { state = "cached", reason = "its effect was carried out in run " .. (effect or before).run,
             value = before and before.value and restored(before) }
  end
  if run.options.force or not before or not run.good[before.state] or before.state == "skipped" or before.fingerprint ~= print.hash or not before.value
    or is_named(run.options.rerun, step) then
    return nil
  end
  if #ready.outputs > 0 and not fingerprint.verdict(ready, print, made_before(run, step, print)) then return nil end
  return { state = "cached", reason = "done in run " .. before.run, value = restored(before) }
end

-- The fingerprint; an outcome where the step need not run; else why it runs.
function reuse.look(run, step, ready)
  local print = fingerprint.of(ready, step, run.context)
  local earlier = run.resumes and from_earlier(run, step, ready, print)
  if earlier then return print, earlier end
  if run.options.force or is_named(run.options.rerun, step) then return print, nil, "forced" end
  if step.effect then return print, nil, "it has an effect" end
  if run.options.no_cache then return print, nil, "--no-cache" end
  local made = made_before(run, step, print)
  local fresh, reason = fingerprint.verdict(ready, print, made)
  if fresh and not made.value then return print, nil, "its value was not kept" end
  if fresh then
    return print, { state = "cached", reason = reason, value = restored(made), fingerprint = print.hash, command = ready.shown }
  end
  return print, nil, reason
end

-- A success that has not made what it should is a failure. Returns the contents of the outputs.
function reuse.check_outputs(ready, outcome)
  local outputs = fingerprint.outputs(ready)
  local missing = fingerprint.missing_output(outputs)
  if missing then outcome.state, outcome.message = "failed", ("it ended well, but its output %s is not there"):format(missing) end
  return outputs
end

-- After a success: what it has made is good from now on. The inputs may have changed while it ran, then it is not.
function reuse.keep(run, step, ready, print, outcome)
  if #ready.outputs == 0 then return end
  local outputs = reuse.check_outputs(ready, outcome)
  if outcome.state == "succeeded" and run.store then
    print.outputs = any_json.exact(outputs)
    run.store:remember(step.key, run.run, print, reuse.kept_value(run, outcome.value))
  end
end

return reuse
