-- The pauses between attempts: `first` seconds, then `factor` times as long each time, at most `max`. With jitter a pause
-- is drawn from its last part: 0.5 means from half of it to all of it. Drawn from the runtime's seeded generator.
local native = require "perilune.native.groups"
local options = require "perilune.native.options"
local max, min, huge, type, tostring = math.max, math.min, math.huge, type, tostring

local backoff = {}
local names = { "first", "max", "factor", "jitter" }

local function not_in(value, low, high)
  return type(value) ~= "number" or not (value >= low and value <= high)
end

-- Reads a table {first, max, factor, jitter}, or a number alone: the form that `pause` takes, or nil and what is wrong.
function backoff.read(given, call, factor, jitter)
  if given == nil then return { first = 0, max = 0, factor = 1, jitter = 0 } end
  if type(given) == "number" then given = { first = given } end
  if type(given) ~= "table" then return nil, ("bad option 'backoff' to '%s' (a table expected, got %s)"):format(call, type(given)) end
  local read = {
    first = given.first or given[1] or 0,
    max = given.max or given[2] or huge,
    factor = given.factor or factor or 2,
    jitter = given.jitter or jitter or 0,
  }
  if given[1] == nil then
    local problem = options.problem(given, call, names)
    if problem then return nil, problem end
  end
  if read.jitter == true then read.jitter = 1 end
  local function bad(name, expected)
    return nil, ("bad option '%s' to '%s' (%s expected, got %s)"):format(name, call, expected, tostring(read[name]))
  end
  if not_in(read.first, 0, huge) then return bad("first", "seconds") end
  if not_in(read.max, 0, huge) then return bad("max", "seconds") end
  if not_in(read.factor, 1, huge) then return bad("factor", "a number of at least 1") end
  if not_in(read.jitter, 0, 1) then return bad("jitter", "a number from 0 to 1") end
  return read
end

-- Seconds to wait after the given failure, counted from 1.
function backoff.pause(plan, failures)
  local whole = min(plan.max, plan.first * plan.factor ^ (failures - 1))
  if plan.first == 0 then whole = 0 end
  if plan.jitter == 0 then return whole end
  return max(0, whole * (1 - plan.jitter * native.random()))
end

return backoff
