-- A Lua step: a function as a task of the runner. Its ctx awaits steps that it makes while it runs.
local peri = require "perilune"
local lua_print = require "perilune.pipeline.lua_print"
local model = require "perilune.pipeline.model"

local lua_step = {}
local context = {}
context.__index = context
lua_step.context = context

-- A step added by a running one: made, run once, awaited. Raises when it did not succeed.
local function await_step(self, key, spec, level)
  if type(key) ~= "string" then
    error(("bad argument #1 to 'step' (a key expected, got %s)"):format(type(key)), level + 1)
  end
  if type(spec) == "function" then spec = { fn = spec } end
  if type(spec) ~= "table" then
    error(("bad argument #2 to 'step' (a table or a function expected, got %s)"):format(type(spec)), level + 1)
  end
  local run = self.execution_
  if run.pipeline.by_key[key] then error(("there is a step '%s' already"):format(key), level + 1) end
  local step = model.make_step(key, key, spec, self.key)
  return run:add_and_wait(step, self.key)
end

local function insist(run, key, outcome, level)
  if not run.good[outcome.state] then error(("step '%s' %s"):format(key, outcome.state), level + 1) end
  return outcome
end

function context:step(key, spec)
  local outcome = await_step(self, key, spec, 2)
  return insist(self.execution_, key, outcome, 2)
end

-- One step for each item, at most options.limit at a time. Returns their outcomes; with options.collect all of them run.
function context:map(name, items, make, options)
  options = options or {}
  local permits = peri.semaphore(options.limit or math.max(#items, 1))
  local outcomes, failed = {}, nil
  peri.scope(function(s)
    for i, item in ipairs(items) do
      s:spawn(function()
        local _ <close> = permits:acquire()
        if failed and not options.collect then return end
        local spec = make(item, i)
        if type(spec) == "function" then spec = { fn = spec } end
        spec.fail = options.collect and "collect" or spec.fail
        local key = ("%s[%s]"):format(name, tostring(item))
        outcomes[i] = await_step(self, key, spec, 2)
        if not self.execution_.good[outcomes[i].state] then failed = failed or key end
      end)
    end
  end)
  if failed then error(("step '%s' did not succeed"):format(failed), 2) end
  return outcomes
end

-- log: where it prints (step_log.lua).
function lua_step.run(run, step, ready, log)
  local scope = run:scope_of(step)
  local ctx = setmetatable({ key = step.key, params = scope.params, env = scope.env, secrets = scope.secrets, run = scope.run,
                             item = step.item, matrix = step.matrix, execution_ = run }, context)
  local function body() return ready.fn(ctx, scope.run) end
  local printing <close> = lua_print.into(log)
  local ok, value
  if step.timeout then
    ok, value = pcall(peri.timeout, step.timeout, body)
  else
    ok, value = pcall(body)
  end
  printing:close()
  if ok then return { state = "succeeded", value = value, log = log.path } end
  local late = type(value) == "userdata" and value.kind == "timeout"
  return { state = late and "timeout" or "failed", message = tostring(value), log = log.path, tail = log:tail() }
end

return lua_step
