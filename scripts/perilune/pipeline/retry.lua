-- Further attempts of a step: what a pipeline may say about them, and which outcomes they are for.
local text = require "perilune.pipeline.text"

local retry = {}

local function read_backoff(backoff)
  if type(backoff) == "table" then return text.duration(backoff[1]), text.duration(backoff[2] or backoff[1]) end
  if type(backoff) == "string" and backoff:find("..", 1, true) then
    local first, last = backoff:match("^(.-)%.%.(.+)$")
    return text.duration(first), text.duration(last)
  end
  local same = text.duration(backoff or 1)
  return same, same and math.max(same, 60)
end

-- As attempts end by them; the system has more that nobody waits for.
local signals <const> = {}
for name in ("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM "
  .. "PROF WINCH POLL PWR SYS"):gmatch("%w+") do signals[name] = true end

local function names_signal(condition)
  local name = condition:match("^signal:(%w+)$")
  return name and signals[name:gsub("^SIG", "")] or false
end

local function check_conditions(conditions)
  for _, condition in ipairs(conditions) do
    local known = condition == "timeout" or condition == "failure" or type(condition) == "string"
      and (condition:match("^exit:%d[%d,]*$") or names_signal(condition))
    if not known then
      text.refuse(3, "retry.on: \"exit:6,7\", \"signal:KILL\", \"timeout\" or \"failure\" expected, got '%s'%s", tostring(condition),
                  text.suggestion(tostring(condition), { "timeout", "failure" }))
    end
  end
end

local function check_number(spec, name, low, high, expected)
  local value = spec[name]
  if value ~= nil and (type(value) ~= "number" or value < low or value > high) then text.refuse(3, "retry.%s: %s expected", name, expected) end
end

local numbers <const> = { attempts = true, factor = true, jitter = true }

-- The same description with names replaced; what has blanks in it is left out.
function retry.with_names(spec, names, blanks)
  local function value_of(key, value)
    local made = text.expand_within(value, names)
    if text.has_blank(made, blanks) then return nil end
    return numbers[key] and (math.tointeger(tonumber(made)) or tonumber(made)) or made
  end
  if type(spec) ~= "table" then return value_of("attempts", spec) end
  local copy = {}
  for key, value in pairs(spec) do copy[key] = value_of(key, value) end
  return copy
end

-- {attempts, first, max, factor, jitter, on} of a number of attempts or a table; see perilune.backoff.
function retry.read(spec)
  if spec == nil then return nil end
  if math.type(spec) == "integer" then spec = { attempts = spec } end
  if type(spec) ~= "table" then text.refuse(3, "retry: a number of attempts or a table expected, got %s", type(spec)) end
  local first, longest = read_backoff(spec.backoff)
  if not first or not longest or longest < first then text.refuse(3, "retry.backoff: a range like \"1s..30s\" expected") end
  local attempts = spec.attempts or 3
  if math.type(attempts) ~= "integer" or attempts < 1 then text.refuse(3, "retry.attempts: a whole number from 1 on expected") end
  check_number(spec, "factor", 1, math.huge, "a number from 1 on")
  check_number(spec, "jitter", 0, 1, "a number from 0 to 1")
  local on = type(spec.on) == "string" and { spec.on } or spec.on
  check_conditions(on or {})
  return { attempts = attempts, first = first, max = longest, factor = spec.factor or 2, jitter = spec.jitter or 0, on = on }
end

-- Whether an outcome is one that another attempt is for.
function retry.is_worth(of, outcome)
  if not of.on then return outcome.state == "failed" or outcome.state == "timeout" end
  for _, condition in ipairs(of.on) do
    if condition == outcome.state or condition == "failure" and outcome.state == "failed" then return true end
    local codes = outcome.state == "failed" and condition:match("^exit:(.+)$")
    for code in (codes or ""):gmatch("%d+") do
      if outcome.code == tonumber(code) then return true end
    end
    local signal = condition:match("^signal:(.+)$")
    if signal and outcome.signal and signal:gsub("^SIG", "") == outcome.signal:gsub("^SIG", "") then return true end
  end
  return false
end

return retry
