-- perilune.pipeline: pipelines written in Lua. What `new` returns is what a pipeline file returns; it becomes the same step
-- table that TOML becomes.
local early = require "perilune.pipeline.early"
local model = require "perilune.pipeline.model"
local schema = require "perilune.pipeline.schema"
local text = require "perilune.pipeline.text"

local pipeline = {}
local builder = {}
builder.__index = builder
builder.__name = "perilune.pipeline"

local function as_list(value) return type(value) == "string" and { value } or value or {} end

function pipeline.new(name, options)
  if type(name) ~= "string" then error(("bad argument #1 to 'new' (a name expected, got %s)"):format(type(name)), 2) end
  options = options or {}
  local problem = schema.problem_of_options(options)
  if problem then error(("bad argument #2 to 'new' (%s)"):format(problem), 2) end
  local settings = { dotenv = as_list(options.dotenv), default = options.default and as_list(options.default) }
  for _, key in ipairs { "doc", "env", "cwd", "timeout", "jobs", "grace", "executor" } do settings[key] = options[key] end
  local made = model.new(settings)
  made.executors = options.executors or {}
  if settings.executor and settings.executor ~= "local" and not text.is_template(settings.executor) and not made.executors[settings.executor] then
    error(("bad argument #2 to 'new' (executor: %s)"):format(text.no_executor(settings.executor, made.executors)), 2)
  end
  made.name, made.params, made.secrets = name, options.params or {}, options.secrets or {}
  for pool, size in pairs(options.pools or {}) do made.pools[pool] = size end
  made.early_names = early.names_in_lua(made)
  local at = debug.getinfo(2, "Sl")
  pipeline.made_at_ = ("%s:%d"):format(at.short_src, at.currentline)
  made.default_place = pipeline.made_at_
  return setmetatable({ table_ = made }, builder)
end

local function add(self, name, spec, call)
  if type(name) ~= "string" then
    error(("bad argument #1 to '%s' (a name expected, got %s)"):format(call, type(name)), 3)
  end
  local problem = schema.problem_of_step(name, spec)
  if problem then error(("bad argument #2 to '%s' (%s)"):format(call, problem), 3) end
  local at = debug.getinfo(3, "Sl")
  local ok, problem = pcall(self.table_.add_spec, self.table_, name, spec, ("%s:%d"):format(at.short_src, at.currentline))
  if not ok then error(tostring(problem), 3) end
end

-- A step that is known before the run.
function builder:step(name, spec)
  if type(spec) == "function" then spec = { fn = spec } end
  add(self, name, spec, "step")
end

-- The task of the run: its ctx makes steps as it goes.
function builder:main(fn)
  if type(fn) ~= "function" then error(("bad argument #1 to 'main' (a function expected, got %s)"):format(type(fn)), 2) end
  add(self, "main", { fn = fn }, "main")
end

-- What runs at the end whatever became of the rest: fn(ctx, run) may return what the step does.
function builder:finally(name, fn)
  if type(fn) ~= "function" then error(("bad argument #2 to 'finally' (a function expected, got %s)"):format(type(fn)), 2) end
  add(self, name, { when = "always", finally = true, make = fn }, "finally")
end

return pipeline
