-- A step with its templates replaced: what exactly would run, where, with which environment.
local text = require "perilune.pipeline.text"

local resolve = {}

-- "checks.lua:coverage" -> the function and the file's text.
function resolve.lua_function(pipeline, reference)
  local path, name = reference:match("^(.+):([%w_]+)$")
  if not path then text.refuse(3, "lua = \"FILE:FUNCTION\" expected, got '%s'", reference) end
  local full = path:match("^/") and path or pipeline.folder .. "/" .. path
  local source = require("perilune.fs").read(full)
  local names = setmetatable({}, { __index = _G })
  local chunk, problem = load(source, "@" .. path, "t", names)
  if not chunk then text.refuse(3, "%s", problem) end
  local module = chunk()
  local fn = type(module) == "table" and module[name] or rawget(names, name)
  if type(fn) ~= "function" then text.refuse(3, "%s has no function '%s'", path, name) end
  return fn, source
end

local function folder_of(pipeline, step, scope)
  local cwd = text.expand(step.cwd or pipeline.settings.cwd or ".", scope)
  if cwd == "." then return pipeline.folder end
  return cwd:match("^/") and cwd or pipeline.folder .. "/" .. cwd
end

-- `scope` has params, env, secrets, run, steps; the step adds matrix and item.
function resolve.step(pipeline, step, scope, own_environment)
  local names = setmetatable({ matrix = step.matrix, item = step.item }, { __index = scope })
  local environment = {}
  for name, value in pairs(own_environment) do environment[name] = value end
  local added = text.expand_map(step.env, names)
  for name, value in pairs(added) do environment[name] = value end
  local ready = {
    key = step.key, env = added, environment = environment, cwd = folder_of(pipeline, step, names), folder = pipeline.folder,
    inputs = text.expand_list(step.inputs, names), outputs = text.expand_list(step.outputs, names),
  }
  if step.argv then ready.argv = text.expand_list(step.argv, names) end
  if step.sh then
    ready.sh = text.expand(step.sh, names)
    ready.run_argv = { "/bin/sh", "-euc", ready.sh }
  else
    ready.run_argv = ready.argv
  end
  if step.lua then ready.fn, ready.lua_source = resolve.lua_function(pipeline, step.lua) end
  ready.fn = ready.fn or step.fn
  ready.shown = ready.sh or ready.argv and text.command_line(ready.argv) or step.lua and "lua " .. step.lua or step.fn and "(lua)"
  return ready
end

return resolve
