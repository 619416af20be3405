-- A Lua step: a function as a task of the runner. Its ctx awaits steps that it makes while it runs.
local peri = require "perilune"
local fan_out = require "perilune.pipeline.fan_out"
local lua_print = require "perilune.pipeline.lua_print"
local model = require "perilune.pipeline.model"
local schema = require "perilune.pipeline.schema"
local step_log = require "perilune.pipeline.step_log"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"
local time_limit = require "perilune.pipeline.time_limit"

local lua_step = {}
local context = {}
context.__index = context
context.__name = "perilune.pipeline.context"

-- "file:line" where a function is defined.
local function place_of_function(fn)
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

-- place: its turn in its pool (attempts.lua).
local function context_of(run, step, fn, place)
  local scope = run:scope_of(step)
  return setmetatable({ key = step.key, params = scope.params, env = scope.env, secrets = scope.secrets, run = scope.run, args = scope.args,
                        steps = scope.steps, item = step.item, matrix = step.matrix, execution_ = run, step_ = step,
                        defined_at_ = place_of_function(fn), place_ = place, waits_ = 0 }, context)
end

-- "file:line" of the script's innermost call above a method of the ctx: pcall and its like have no line, and a call whose result is
-- returned as it is has left none; then it is where the step's function is defined.
local function place_of_caller(self)
  local level, at = 3, debug.getinfo(3, "Sl")
  while at and (at.currentline < 0 or at.source:find("^[=@]?perilune%.")) do
    level = level + 1
    at = debug.getinfo(level, "Sl")
  end
  return at and ("%s:%d"):format(at.short_src, at.currentline) or self.defined_at_
end

local function raise(place, message, ...) error(place .. ": " .. message:format(...), 0) end

-- "a -> b -> a" where the function of step `goal` would wait for itself if it waited for `step`, through what steps need and what
-- functions wait for; else nil.
local function cycle_through(run, step, goal)
  local behind, queue, at = { [step.key] = goal }, { step }, 1
  while queue[at] and queue[at].key ~= goal do
    local one = queue[at]
    at = at + 1
    local function reach(key)
      local reached = run.pipeline.by_key[key]
      if reached and not behind[key] and not run.outcomes[key] then behind[key], queue[#queue + 1] = one.key, reached end
    end
    for _, key in ipairs(model.dependencies(one)) do reach(key) end
    for key in pairs(run.awaited[one.key] or {}) do reach(key) end
    for key, is_last in pairs(run.lineup.last[one.key] and run.lineup.last or {}) do
      if not is_last then reach(key) end
    end
  end
  if not queue[at] then return nil end
  local chain, key = { goal }, behind[goal]
  while key ~= goal do
    table.insert(chain, 1, key)
    key = behind[key]
  end
  return goal .. " -> " .. table.concat(chain, " -> ")
end

-- The wait of a function for a step, until it is closed: counted in run.awaited[key of the function's step][key of the step], and
-- in its ctx. The function's place in its pool is free meanwhile: what it waits for may be in the same pool.
local wait = {}

function wait.begin(ctx, key)
  local awaited = ctx.execution_.awaited[ctx.key] or {}
  ctx.execution_.awaited[ctx.key], awaited[key] = awaited, (awaited[key] or 0) + 1
  ctx.waits_ = ctx.waits_ + 1
  if ctx.place_ then ctx.place_:__close() end
  return setmetatable({ ctx = ctx, awaited = awaited, key = key }, wait)
end

-- The function goes on: where none of its tasks waits any more, in its place.
local function go_on(ctx)
  if not ctx.place_ or ctx.waits_ > 1 then return end
  ctx.place_:take_pool(ctx.execution_, ctx.step_)
  if ctx.waits_ > 1 then ctx.place_:__close() end -- one more has begun to wait
end

function wait:__close()
  local n = self.awaited[self.key] - 1
  self.awaited[self.key] = n > 0 and n or nil
  self.ctx.waits_ = self.ctx.waits_ - 1
end

-- Calls fn, which waits for the end of a step, unless that would never come.
local function wait_in_turn(self, step, place, fn, ...)
  local run = self.execution_
  local cycle = cycle_through(run, step, self.key)
  if cycle then raise(place, "a cycle: %s", cycle) end
  local _ <close> = wait.begin(self, step.key)
  local outcome = lua_print.aside(fn, ...)
  go_on(self)
  return outcome
end

-- Makes a step and waits for its end. place: of the script's call.
local function await_step(self, call, key, spec, place)
  local run = self.execution_
  if type(key) ~= "string" then raise(place, "bad argument #1 to '%s' (a key expected, got %s)", call, type(key)) end
  local known = run.pipeline.by_key[key]
  if spec == nil and known then return wait_in_turn(self, known, place, run.finish, run, known) end
  if spec == nil then
    raise(place, "bad argument #1 to '%s' (there is no step '%s'%s)", call, key, text.suggestion(key, text.sorted_keys(run.pipeline.by_key)))
  end
  if type(spec) == "function" then spec = { fn = spec } end
  local problem = schema.problem_of_step(key, spec) or known and ("there is a step '%s' already, at %s"):format(key, known.place or "?")
    or spec.matrix and "a matrix is for steps that are known before the run; ctx:map makes one for each item"
  if problem then raise(place, "bad argument #2 to '%s' (%s)", call, problem) end
  local ok, step = pcall(function()
    return run.pipeline:place_on_executor(model.make_step(key, key, model.with_names(spec, run:scope_of(self.step_)), place))
  end)
  if not ok then raise(place, "%s", tostring(step)) end
  local missing = run.pipeline:missing_reference(step)
  if missing then raise(place, "%s", missing) end
  step.collect, step.always = spec.fail ~= "fast", run.is_always(self.step_)
  return wait_in_turn(self, step, place, run.add_and_wait, run, step, self.key)
end

local function describe(key, outcome)
  local what = outcome.message or outcome.signal and "signal " .. outcome.signal or outcome.code and "exit " .. outcome.code or outcome.reason
  return ("step '%s' %s%s"):format(key, summary.words[outcome.state] or outcome.state, what and ": " .. what or "")
end

-- Makes a step, or takes the one of that key where no spec is given, and waits for it. Raises when it does not succeed.
function context:step(key, spec)
  local place = place_of_caller(self)
  local outcome = await_step(self, "step", key, spec, place)
  if not self.execution_.good[outcome.state] then raise(place, "%s", describe(key, outcome)) end
  return outcome
end

local map_options <const> = { limit = true, collect = true }

local function check_map(name, items, make, options)
  if type(name) ~= "string" then return 1, "a name expected, got " .. type(name) end
  if type(items) ~= "table" then return 2, "a list expected, got " .. type(items) end
  if rawlen(items) == 0 and next(items) ~= nil then return 2, "a list expected, got a table of names" end
  if type(make) ~= "function" then return 3, "a function expected, got " .. type(make) end
  if type(options) ~= "table" then return 4, "a table of options expected, got " .. type(options) end
  for option in pairs(options) do
    if not map_options[option] then
      return 4, ("unknown option '%s'%s"):format(tostring(option), text.suggestion(tostring(option), text.sorted_keys(map_options)))
    end
  end
  local limit = options.limit
  if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
    return 4, "limit must be a whole number from 1 on, got " .. tostring(limit)
  end
end

-- One step for each item, at most options.limit at a time. Returns their outcomes in order. Raises at the first that does not
-- succeed, or with options.collect after all of them.
function context:map(name, items, make, options)
  options = options or {}
  local place = place_of_caller(self)
  local argument, problem = check_map(name, items, make, options)
  if argument then raise(place, "bad argument #%d to 'map' (%s)", argument, problem) end
  local permits = peri.semaphore(options.limit or math.max(#items, 1))
  local outcomes, failures = {}, {}
  local function one(i, item)
    local _ <close> = permits:acquire()
    if #failures > 0 and not options.collect then return end
    local key = ("%s[%s]"):format(name, fan_out.words_of(item))
    outcomes[i] = await_step(self, "map", key, make(item, i), place)
    if not self.execution_.good[outcomes[i].state] then failures[#failures + 1] = describe(key, outcomes[i]) end
    if #failures > 0 and not options.collect then error(failures[1], 0) end
  end
  local ok, failure = pcall(peri.scope, function(s)
    for i, item in ipairs(items) do s:spawn(one, i, item) end
  end)
  if #failures > 0 then raise(place, "%s", table.concat(failures, "\n")) end
  if ok then return outcomes end
  local first = failure.errors and failure.errors[1] and tostring(failure.errors[1].value) or tostring(failure)
  if first:find("^[^\n]-:%d+: ") then error(first, 0) end -- it has a place already
  raise(place, "%s", first)
end

-- A function under way, to those who end steps what a process is: it is asked to end, and after the grace made to.
local ending = {}
ending.__index = ending

function ending:kill(grace)
  self.task:cancel("its step is to end")
  if self.task:join(grace or self.grace) ~= nil then return end
  self.task:kill("its step had to end")
  self.task:join()
end

-- Runs fn as long as the step may. Returns "returned" and its value, "failed" and the error, "late" and why, or "cancelled".
local function supervised(run, step, fn)
  local task = peri.spawn({ name = "function of " .. step.key }, pcall, fn)
  local live = run:make_live(step, { in_process = true })
  live.proc = setmetatable({ task = task, grace = live.grace }, ending)
  local ended, ok, value = time_limit.join(task, time_limit.of(run, step))
  if ended == nil then
    live.late = true
    live.proc:kill()
    ended, ok, value = task:join()
  end
  run.live[step.key] = nil
  if ended and ok then return "returned", value end
  if live.cancelled then return "cancelled" end
  if live.late then return "late", time_limit.told(run, step) end
  return "failed", ended and value or ok
end

-- Calls a function of the step with its ctx. log: where it prints (step_log.lua).
local function call(run, step, fn, log, place)
  local ctx = context_of(run, step, fn, place)
  local printing <close> = lua_print.into(log)
  local how, value = supervised(run, step, function() return fn(ctx, ctx.run) end)
  printing:close()
  return how, value
end

function lua_step.run(run, step, ready, log, place)
  local how, value = call(run, step, ready.fn, log, place)
  if how == "returned" then return { state = "succeeded", value = value } end
  if how == "cancelled" then return { state = "cancelled", reason = run:why_halted() } end
  return { state = how == "late" and "timeout" or "failed", tail = log:tail(), message = tostring(value) }
end

-- What a function says that its step does; nil where that is nothing, and how the step ends where the function did not.
function lua_step.make(run, step)
  local log <close> = step_log.open(run, step)
  local how, spec = call(run, step, step.make, log)
  if how == "failed" then error(spec, 0) end
  if how == "late" then return nil, { state = "timeout", message = spec } end
  if how == "cancelled" then return nil, { state = "cancelled", reason = run:why_halted() } end
  if spec == nil then return nil end
  if type(spec) == "function" then spec = { fn = spec } end
  local problem = schema.problem_of_step(step.key, spec)
  if problem then error(("what '%s' returned is no step: %s"):format(step.key, problem), 0) end
  return spec
end

lua_step.context = context

return lua_step
