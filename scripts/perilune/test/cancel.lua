-- Running something once for each of its suspension points, and cancelling it there.
local peri = require "perilune"
local leaks = require "perilune.test.leaks"
local native = package.loaded["perilune.native.test"]

local cancel = {}

-- What is wrong with how the task ended, or nil. A failure that nobody looked at is no wonder where the onlooker was cancelled,
-- and a warning is for who runs to the end; but a task that had to be killed is wrong.
local function problem_of(ok, e, cancelled, earlier)
  local stalls = native.take_stalls()
  if #stalls > 0 then return "deadlock: nothing could run any more:\n" .. stalls[1] end
  if cancelled and peri.stats().unobserved > 0 then -- else they are told later, of whatever is run then
    collectgarbage()
    collectgarbage()
  end
  for _, report in ipairs(cancelled and native.take_reports(earlier) or {}) do
    if report:find("^overstay: ") then return report end
  end
  if not ok and not (cancelled and peri.is_error(e, "cancelled")) then return e end
end

-- Runs `fn` as a task that is cancelled at its nth suspension, or that of a task below it, and then calls `check`. Returns where
-- that was, nil when it ended before, and what was wrong with the end or is left behind, nil when all is well.
function cancel.at(n, fn, check)
  local before, earlier = leaks.now(), native.reports()
  native.take_stalls()
  local task = peri.spawn({ name = "cancelled at " .. n }, fn)
  native.cancel_at(task, n)
  local ok, e = task:join()
  local point = native.cancelled_at()
  local problem = problem_of(ok, e, point, earlier)
  if problem then return point, problem end
  native.advance(0)
  if check then check(point and n, point) end
  local left = leaks.since(before)
  if not left then return point end
  leaks.clear(before)
  return point, "left behind: " .. left
end

local most_points = 10000

function cancel.everywhere(seed, fn, check)
  for n = 1, most_points do
    native.seed(seed)
    local point, problem = cancel.at(n, fn, check)
    if problem then error(("cancelled at suspension %d, in %s: %s"):format(n, point or "none", tostring(problem)), 2) end
    if not point then return n - 1 end
  end
  error(("no end after %d suspensions"):format(most_points), 2)
end

return cancel
