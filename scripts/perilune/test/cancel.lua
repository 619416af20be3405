-- Running something once for each of its suspension points, and cancelling it there.
local peri = require "perilune"
local leaks = require "perilune.test.leaks"
local native = package.loaded["perilune.native.test"]

local cancel = {}

-- Runs `fn` as a task that is cancelled at its nth suspension, or that of a task below it. Returns where that was, nil when
-- it ended before, and what was wrong with the end, nil when nothing was.
function cancel.at(n, fn)
  local before = leaks.now()
  native.take_stalls()
  local task = peri.spawn({ name = "cancelled at " .. n }, fn)
  native.cancel_at(task, n)
  local ok, e = task:join()
  local point = native.cancelled_at()
  native.advance(0)
  local left = leaks.since(before)
  if left then
    leaks.clear(before)
    return point, "left behind: " .. left
  end
  local stalls = native.take_stalls()
  if #stalls > 0 then return point, "deadlock: nothing could run any more:\n" .. stalls[1] end
  if not ok and not (point and peri.is_error(e, "cancelled")) then return point, e end
  return point
end

local most_points = 10000

function cancel.everywhere(seed, fn, check)
  for n = 1, most_points do
    native.seed(seed)
    local point, problem = cancel.at(n, fn)
    if problem then error(("cancelled at suspension %d, in %s: %s"):format(n, point or "none", tostring(problem)), 3) end
    if check then check(point and n or nil, point) end
    if not point then return n - 1 end
  end
  error(("no end after %d suspensions"):format(most_points), 3)
end

return cancel
