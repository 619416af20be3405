-- What a watched pass depends on: the pipeline file, the files that it names, and the inputs of the steps. What the steps make
-- themselves is no reason to run them again.
local fs = require "perilune.fs"
local fingerprint = require "perilune.pipeline.fingerprint"
local modules = require "perilune.pipeline.modules"
local resolve = require "perilune.pipeline.resolve"
local run = require "perilune.pipeline.run"
local text = require "perilune.pipeline.text"

local watch_set = {}
watch_set.__index = watch_set

local function add_all(set, patterns, scope)
  local ok, paths = pcall(text.expand_all, patterns, scope)
  for _, path in ipairs(ok and paths or {}) do set[path] = true end
end

local function add_names(set, names)
  for _, name in ipairs(names or {}) do set[name] = true end
end

local function below(path, folder) return path == folder or path:sub(1, #folder + 1) == folder .. "/" end

-- A path as the pipeline's file would name it.
local function named_from(folder, path) return below(path, folder) and path:sub(#folder + 2) or path end

-- `watched(step)` says which steps count. What `earlier` depended on counts still: Lua steps and fan-outs add their steps late.
function watch_set.of(pipeline, values, watched, earlier)
  local inputs, outputs = { [pipeline.file:match("[^/]*$")] = true }, { [".perilune"] = true, [".git"] = true }
  add_names(inputs, pipeline.settings.dotenv)
  for _, path in pairs(modules.loaded()) do inputs[named_from(pipeline.folder, path)] = true end
  add_names(inputs, earlier and earlier.inputs)
  add_names(outputs, earlier and earlier.outputs)
  local scope = run.scope(pipeline, values, true)
  for _, step in ipairs(pipeline.steps) do
    if watched(step) then
      local names = resolve.names(step, scope)
      add_all(inputs, step.inputs, names)
      add_all(outputs, step.outputs, names)
      if step.lua then inputs[step.lua:match("^(.+):")] = true end
    end
  end
  return setmetatable({ folder = pipeline.folder, inputs = text.sorted_keys(inputs), outputs = text.sorted_keys(outputs) }, watch_set)
end

local function has_wildcard(path) return path:find("[%*%?%[]") ~= nil end

function watch_set:absolute(path) return path:match("^/") and path or self.folder .. "/" .. path end

-- Whether something at a path may matter: it is nothing that the steps make.
function watch_set:matters(path)
  for _, output in ipairs(self.outputs) do
    if not has_wildcard(output) and below(path, self:absolute(output)) then return false end
  end
  return true
end

-- The content of every input now: {path = hash}.
function watch_set:snapshot()
  local now = fingerprint.inputs { inputs = self.inputs, folder = self.folder }
  for _, output in ipairs(self.outputs) do
    for _, made in ipairs(has_wildcard(output) and fs.glob(self:absolute(output)) or {}) do
      now[named_from(self.folder, made)] = nil
    end
  end
  for path in pairs(now) do
    if not self:matters(self:absolute(path)) then now[path] = nil end
  end
  return now
end

-- The nearest folder of a path that exists.
local function existing(path)
  while not fs.exists(path) do path = path:match("^(.+)/[^/]*$") or "/" end
  return path
end

-- Where to look for changes: {path = whether also everything below}.
function watch_set:places()
  local places = {}
  for _, input in ipairs(self.inputs) do
    local path = self:absolute(input)
    local fixed = has_wildcard(input) and path:match("^([^%*%?%[]*)/") or path
    local place = existing(fixed)
    local whole = place == fixed and fs.stat(place).type == "directory"
    places[place] = places[place] or whole
  end
  return places
end

return watch_set
