-- peri.retry: calls a function until it returns. Cancellation is never retried; a time limit that passed inside is an
-- error like any other.
local peri = require "perilune"
local native = require "perilune.native.groups"
local options = require "perilune.native.options"
local backoff = require "perilune.backoff"

local sleep, is_error = peri.sleep, peri.is_error
local error, pcall, tostring, type = error, pcall, tostring, type
local callable, huge = options.callable, math.huge

local names = { "attempts", "backoff", "factor", "jitter", "retry_if" }
local default_attempts <const> = 3

-- The number of attempts and the plan of pauses. Misuse is told at the line that called retry.
local function check(opts, fn)
  if type(opts) ~= "table" or callable(opts) then
    error(("bad argument #1 to 'retry' (a table of options expected, got %s)"):format(type(opts)), 3)
  end
  local problem = options.problem(opts, "retry", names)
  if problem then error(problem, 3) end
  local given = opts.attempts == nil and default_attempts or opts.attempts
  local attempts = given == huge and huge or options.count(given, 1)
  if not attempts then
    error(("bad option 'attempts' to 'retry' (a positive integer expected, got %s)"):format(tostring(given)), 3)
  end
  if opts.retry_if ~= nil and not callable(opts.retry_if) then
    error(("bad option 'retry_if' to 'retry' (a function expected, got %s)"):format(type(opts.retry_if)), 3)
  end
  if not callable(fn) then error(("bad argument #2 to 'retry' (a function expected, got %s)"):format(type(fn)), 3) end
  local plan, why = backoff.read(opts.backoff, "retry", opts.factor, opts.jitter)
  if not plan then error(why, 3) end
  return attempts, plan
end

-- The last error is raised; those before it are what it suppressed.
local function give_up(e, earlier)
  if #earlier == 0 then error(e, 0) end
  if not is_error(e) then e = native.failure("error", { value = e }) end
  native.add_suppressed(e, earlier)
  error(e, 0)
end

local kept_errors <const> = 100

return function(opts, fn, ...)
  local attempts, plan = check(opts, fn)
  local earlier = {}
  local function conclude(attempt, ok, ...)
    if ok then return true, ... end
    local e = ...
    if attempt >= attempts or opts.retry_if and not opts.retry_if(e, attempt) then give_up(e, earlier) end
    if #earlier == kept_errors then table.remove(earlier, 1) end
    earlier[#earlier + 1] = e
    sleep(backoff.pause(plan, attempt))
    return false
  end
  local function finish(attempt, args, done, ...)
    if done then return ... end
    attempt = attempt + 1
    return finish(attempt, args, conclude(attempt, pcall(fn, table.unpack(args, 1, args.n))))
  end
  return finish(0, table.pack(...), false)
end
