-- Steps with an effect on the world: the intent is written before, the result after. An intent without a result (the runner was
-- killed, or the step was ended from outside) is asked about, never guessed, unless its job is still known to an executor.
local peri = require "perilune"
local process = require "perilune.process"
local system = require "perilune.native.system"
local attempts = require "perilune.pipeline.attempts"

local effect = {}

local function answer_from_terminal()
  local read = process.run { argv = { "/bin/sh", "-c", "IFS= read -r line && printf %s \"$line\"" }, stdin = "inherit",
                             group = false, check = false }
  return read.stdout:match("^%s*(%a?)"):lower()
end

-- "again", "done" or "leave".
local function ask(run, step, before)
  if run.options.yes then return "again" end
  if not system.is_terminal(0) or not system.is_terminal(2) then return "leave" end
  local turn <close> = run.terminal:lock()
  run.events:emit("terminal", { key = step.key, taken = true })
  io.stdout:flush()
  io.stderr:write(("%s: run %s may or may not have carried out its effect.\n  [a] carry it out again  [d] it is done  [l] leave it: ")
    :format(step.key, before.run))
  io.stderr:flush()
  local asking = peri.spawn({ name = "question about " .. step.key }, answer_from_terminal)
  run:make_live(step, { in_process = true, proc = { kill = function() asking:cancel "its step is to end" end } })
  local answered, answer = asking:join()
  run.live[step.key] = nil
  run.events:emit("terminal", { key = step.key, taken = false })
  if not answered then return "leave" end
  return answer == "a" and "again" or answer == "d" and "done" or "leave"
end

local function unknown(step, before)
  return { state = "failed", started = peri.clock(), attempts = 0, message = ("run %s may or may not have carried out its effect; look, "
    .. "then: perilune resume --yes to carry it out again"):format(before.run) }
end

function effect.carry_out(run, step, ready, print, reason)
  local store = run.store
  local before = store:effect(step.key)
  if before and before.done == 0 and not require("perilune.pipeline.executor").has_job(run, step, ready) then
    local answer = ask(run, step, before)
    if answer == "leave" then return unknown(step, before) end
    if answer == "done" then
      store:set_effect(step.key, run.run, print.hash, 1)
      return { state = "succeeded", started = peri.clock(), reason = "said to be done" }
    end
  end
  local announced = false
  local outcome = attempts.try(run, step, ready, reason, function()
    store:set_effect(step.key, run.run, print.hash, 0)
    announced = true
  end)
  if outcome.state == "succeeded" then
    store:set_effect(step.key, run.run, print.hash, 1)
  elseif announced and outcome.state == "failed" and not outcome.signal and not outcome.lost then
    store:drop_effect(step.key)
  end
  return outcome
end

return effect
