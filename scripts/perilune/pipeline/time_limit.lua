-- Time limits of a run and of its steps. What goes by while Ctrl-Z has stopped the run counts for none of them. When the run's time is
-- over, steps that run whatever happens go on, but each of them within a limit: its own, or the grace.
local peri = require "perilune"

local time_limit = {}

local stopped = 0 -- seconds so far

-- Seconds on the clock that limits go by.
function time_limit.now() return peri.now() - stopped end

-- Calls what stops this program until somebody continues it.
function time_limit.stand_still(fn, ...)
  local began = peri.now()
  fn(...)
  stopped = stopped + peri.now() - began
end

function time_limit.sleep(seconds)
  local over = time_limit.now() + seconds
  repeat
    peri.sleep(math.max(over - time_limit.now(), 0))
  until time_limit.now() >= over
end

-- What task:join gives, or nil when the task has not ended in so many seconds; without a number it is waited for as long as it takes.
function time_limit.join(task, seconds)
  if not seconds then return task:join() end
  local over = time_limit.now() + seconds
  while true do
    local ended, ok, value = task:join(math.max(over - time_limit.now(), 0))
    if ended ~= nil or time_limit.now() >= over then return ended, ok, value end
  end
end

local function grace_of(run, step) return step.grace or run.options.grace end
local function own_limit(run, step) return step.timeout or run.options.step_timeout end

-- How many seconds a step may take, or nil.
function time_limit.of(run, step) return own_limit(run, step) or run.out_of_time and grace_of(run, step) or nil end

-- What is said of a step that took longer.
function time_limit.told(run, step)
  local own = own_limit(run, step)
  if own then return ("it did not end within %gs"):format(own) end
  return ("it did not end within the grace of %gs that is left when the run's time is over; a timeout of its own gives it more")
    :format(grace_of(run, step))
end

-- The run's time is over. Returns when all that has no limit of its own and runs already has ended, or has been made to.
function time_limit.end_of_run(run)
  run.out_of_time = true
  peri.scope(function(s)
    for key, live in pairs(run.live) do
      if live.always and not live.limited then
        s:spawn({ name = "limit of " .. key }, function()
          time_limit.sleep(live.grace)
          if run.live[key] ~= live then return end
          live.late = true
          live.proc:kill()
        end)
      end
    end
  end)
end

return time_limit
