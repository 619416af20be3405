-- Whether a step's outputs are what it would make now: a hash of all that decides them, kept in parts so that a verdict can say
-- which part has changed.
local fs = require "perilune.fs"
local hash = require "perilune.hash"
local json = require "perilune.json"
local text = require "perilune.pipeline.text"

local fingerprint = {}

local function absolute(step, path)
  return path:match("^/") and path or step.folder .. "/" .. path
end

local function content(path)
  if not fs.exists(path) then return "missing" end
  if fs.stat(path).type ~= "directory" then return hash.file(path) end
  local names = {}
  for below, entry in fs.walk(path) do
    names[#names + 1] = entry.type == "file" and below .. "=" .. hash.file(below) or below
  end
  return hash.text(table.concat(names, "\n"))
end

local function hash_patterns(step, patterns)
  local found = {}
  for _, pattern in ipairs(patterns) do
    local paths = pattern:find("[%*%?%[]") and fs.glob(absolute(step, pattern)) or { absolute(step, pattern) }
    for _, path in ipairs(paths) do
      local shown = path:sub(1, #step.folder + 1) == step.folder .. "/" and path:sub(#step.folder + 2) or path
      found[shown] = content(path)
    end
    if #paths == 0 then found[pattern] = "missing" end
  end
  return found
end

-- The parts of a resolved step: {argv, sh, lua, env, cwd, inputs, outputs, folder}.
function fingerprint.of(step)
  local parts = {
    command = hash.text(json.encode { step.argv or json.null, step.sh or json.null, step.lua_source or json.null }),
    environment = hash.text(json.encode(step.env)),
    cwd = step.cwd,
    executor = "local",
    inputs = hash_patterns(step, step.inputs),
    names = table.concat(step.outputs, "\n"),
  }
  return { hash = hash.text(json.encode(parts)), parts = parts }
end

function fingerprint.inputs(step) return hash_patterns(step, step.inputs) end
function fingerprint.outputs(step) return hash_patterns(step, step.outputs) end

-- A path whose content is not what it was, and how it differs; nil where nothing does.
function fingerprint.first_difference(before, now)
  for _, path in ipairs(text.sorted_keys(now)) do
    if before[path] == nil then return path, "is new" end
    if before[path] ~= now[path] then return path, now[path] == "missing" and "is missing" or "changed" end
  end
  for _, path in ipairs(text.sorted_keys(before)) do
    if now[path] == nil then return path, "is gone" end
  end
end

local function changed_part(before, now)
  for _, part in ipairs { "command", "environment", "cwd", "names" } do
    if before[part] ~= now[part] then return "the " .. (part == "names" and "list of outputs" or part) .. " changed" end
  end
  local path, how = fingerprint.first_difference(before.inputs or {}, now.inputs)
  return path and ("input %s %s"):format(path, how) or "something it depends on changed"
end

-- True and why its outputs are good, or false and why it has to run. `print` is what fingerprint.of gave.
function fingerprint.verdict(step, print, made)
  if #step.outputs == 0 then return false, "it has no outputs" end
  if not made then return false, "it has not succeeded yet" end
  if made.fingerprint ~= print.hash then return false, changed_part(json.decode(made.parts), print.parts) end
  local path, how = fingerprint.first_difference(json.decode(made.outputs), fingerprint.outputs(step))
  if path then return false, ("output %s %s"):format(path, how) end
  return true, "up to date since run " .. made.run
end

-- What a step that has just succeeded has not made, or nil.
function fingerprint.missing_output(outputs)
  for _, path in ipairs(text.sorted_keys(outputs)) do
    if outputs[path] == "missing" then return path end
  end
end

return fingerprint
