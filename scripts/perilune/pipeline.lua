-- perilune.pipeline: pipelines written in Lua. What `new` returns is what a pipeline file returns; it becomes the same step
-- table that TOML becomes.
local model = require "perilune.pipeline.model"

local pipeline = {}
local builder = {}
builder.__index = builder
builder.__name = "perilune.pipeline"

function pipeline.new(name, options)
  if type(name) ~= "string" then error(("bad argument #1 to 'new' (a name expected, got %s)"):format(type(name)), 2) end
  options = options or {}
  local made = model.new { dotenv = options.dotenv or {}, env = options.env }
  made.name, made.pools, made.params, made.secrets = name, options.pools or {}, options.params or {}, options.secrets or {}
  return setmetatable({ table_ = made }, builder)
end

local function add(self, name, spec, call)
  if type(name) ~= "string" then
    error(("bad argument #1 to '%s' (a name expected, got %s)"):format(call, type(name)), 3)
  end
  local at = debug.getinfo(3, "Sl")
  local ok, problem = pcall(self.table_.add_spec, self.table_, name, spec, ("%s:%d"):format(at.short_src, at.currentline))
  if not ok then error(tostring(problem), 3) end
end

-- A step that is known before the run.
function builder:step(name, spec)
  if type(spec) == "function" then spec = { fn = spec } end
  if type(spec) ~= "table" then
    error(("bad argument #2 to 'step' (a table or a function expected, got %s)"):format(type(spec)), 2)
  end
  add(self, name, spec, "step")
end

-- The task of the run: its ctx makes steps as it goes.
function builder:main(fn)
  if type(fn) ~= "function" then error(("bad argument #1 to 'main' (a function expected, got %s)"):format(type(fn)), 2) end
  add(self, "main", { fn = fn }, "main")
end

-- What runs at the end whatever became of main: fn(ctx, run) may return a step.
function builder:finally(name, fn)
  if type(fn) ~= "function" then error(("bad argument #2 to 'finally' (a function expected, got %s)"):format(type(fn)), 2) end
  add(self, name, { after = { "main" }, when = "always", finally = true, fn = function(ctx, run)
    local spec = fn(ctx, run)
    if spec then
      spec.when = "always"
      ctx:step(name .. ":command", spec)
    end
  end }, "finally")
end

return pipeline
