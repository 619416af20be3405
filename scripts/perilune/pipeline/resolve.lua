-- A step with its templates replaced: what exactly would run, where, with which environment.
local fs = require "perilune.fs"
local model = require "perilune.pipeline.model"
local modules = require "perilune.pipeline.modules"
local text = require "perilune.pipeline.text"

local resolve = {}

local function load_functions(pipeline, path)
  local full = path:match("^/") and path or pipeline.folder .. "/" .. path
  local ok, source = pcall(fs.read, full)
  if not ok then text.refuse(3, "cannot read %s", path) end
  local names = setmetatable({}, { __index = _G })
  local chunk, problem = load(source, "@" .. path, "t", names)
  if not chunk then text.refuse(3, "%s", problem) end
  modules.search(pipeline.folder)
  modules.search(full:match("^(.+)/[^/]*$") or "/")
  local module = chunk()
  return { source = source, find = function(name) return type(module) == "table" and module[name] or rawget(names, name) end }
end

-- "checks.lua:coverage" -> the function and the file's text. A file is run once.
function resolve.lua_function(pipeline, reference)
  local path, name = model.lua_reference(reference)
  pipeline.lua_files = pipeline.lua_files or {}
  local file = pipeline.lua_files[path] or load_functions(pipeline, path)
  pipeline.lua_files[path] = file
  local fn = file.find(name)
  if type(fn) ~= "function" then text.refuse(3, "%s has no function '%s'", path, name) end
  return fn, file.source
end

local function lines_of(path, first, last)
  local ok, whole = pcall(fs.read, path)
  if not ok then return "" end
  local lines, n = {}, 0
  for line in whole:gmatch("([^\n]*)\n?") do
    n = n + 1
    if n >= first and n <= last then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n")
end

-- The text of a function, and the plain values that it takes from around it.
local function source_of(fn)
  local info = debug.getinfo(fn, "S")
  local parts = { info.source:sub(1, 1) == "@" and lines_of(info.source:sub(2), info.linedefined, info.lastlinedefined) or info.source }
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then break end
    local kind = type(value)
    if kind == "string" or kind == "number" or kind == "boolean" then parts[#parts + 1] = name .. "=" .. tostring(value) end
  end
  return table.concat(parts, "\n")
end

local function folder_of(pipeline, step, names)
  local cwd = text.expand(step.cwd or pipeline.settings.cwd or ".", names)
  if cwd == "." then return pipeline.folder end
  return cwd:match("^/") and cwd or pipeline.folder .. "/" .. cwd
end

local all_arguments <const> = "${run.args}"

-- A word that is nothing but ${run.args} becomes all the arguments, each a word.
local function expand_argv(argv, names, arguments)
  local words = {}
  for _, word in ipairs(argv) do
    if word == all_arguments then
      for _, argument in ipairs(arguments) do words[#words + 1] = argument end
    else
      words[#words + 1] = text.expand(tostring(word), names)
    end
  end
  return words
end

local function takes_arguments(step)
  if step.fn or step.lua then return true end
  if step.sh then return (step.sh:find("%$[@*#%d]") or step.sh:find("%${[@*#%d]") or step.sh:find(all_arguments, 1, true)) ~= nil end
  if #step.names > 0 then
    for _, word in ipairs(step.argv or {}) do
      if tostring(word):find(all_arguments, 1, true) then return true end
    end
  end
  return false
end

local function resolve_command(ready, pipeline, step, names)
  if step.argv then
    ready.run_argv = ready.takes_arguments and expand_argv(step.argv, names, ready.arguments) or text.expand_all(step.argv, names)
    ready.shown = text.command_line(ready.run_argv)
  elseif step.sh then
    ready.sh = text.expand(step.sh, names)
    ready.run_argv, ready.shown = { "/bin/sh", "-euc", ready.sh, step.key, table.unpack(ready.arguments) }, ready.sh
  elseif step.lua then
    local reference = text.expand(step.lua, names)
    ready.fn, ready.lua_source = resolve.lua_function(pipeline, reference)
    ready.shown = "lua " .. reference
  elseif step.fn then
    ready.fn, ready.lua_source, ready.shown = step.fn, source_of(step.fn), "(lua)"
  elseif step.make then
    ready.shown = "(made when it runs)"
  end
end

local nothing <const> = {}

-- What the templates of a step may name: the scope, which has params, env, secrets, run, steps and args, and its own matrix and item.
function resolve.names(step, scope)
  if step.matrix == nil and step.item == nil then return scope end
  return setmetatable({ matrix = step.matrix, item = step.item }, { __index = scope })
end

-- Lists in it are the step's own where there was nothing to replace, and are never changed.
function resolve.step(pipeline, step, scope)
  local names = resolve.names(step, scope)
  local plain = #step.names == 0
  local ready = {
    key = step.key, names = names, arguments = scope.args or nothing, env = text.expand_all(step.env, names),
    cwd = folder_of(pipeline, step, names), folder = pipeline.folder, takes_arguments = takes_arguments(step),
    inputs = plain and step.inputs or text.expand_all(step.inputs, names),
    outputs = plain and step.outputs or text.expand_all(step.outputs, names),
  }
  resolve_command(ready, pipeline, step, names)
  return ready
end

-- What a step's process finds in its environment, above what the runner itself found there.
function resolve.environment(ready, own_environment)
  local environment = { PERILUNE_RUN_ID = nil, PERILUNE_RUN_DIR = nil, PERILUNE_STEP = nil } -- room for what is added
  for name, value in pairs(own_environment) do environment[name] = value end
  for name, value in pairs(ready.env) do environment[name] = value end
  return environment
end

return resolve
