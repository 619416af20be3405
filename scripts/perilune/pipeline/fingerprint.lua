-- Whether a step's outputs are what it would make now: all that decides them, kept in parts, so that a verdict can say which
-- parts have changed. Secrets are masked before anything is hashed: they neither leave a trace nor decide.
local fs = require "perilune.fs"
local hash = require "perilune.hash"
local json = require "perilune.json"
local any_json = require "perilune.pipeline.any_json"
local text = require "perilune.pipeline.text"

local fingerprint = {}

local none <const> = {}

local function is_plain(patterns)
  for i = 1, #patterns do
    local pattern = patterns[i]
    if pattern:byte() == 47 or pattern:find("[%*%?%[]") then return false end
  end
  return true
end

-- The paths that patterns stand for, how each is shown, and the patterns that stand for nothing.
local function match(patterns, prefix)
  local paths, shown, without = {}, {}, {}
  for _, pattern in ipairs(patterns) do
    local full = pattern:byte() == 47 and pattern or prefix .. pattern
    local matched = pattern:find("[%*%?%[]") and fs.glob(full) or { full }
    for _, path in ipairs(matched) do
      paths[#paths + 1] = path
      shown[#shown + 1] = path:sub(1, #prefix) == prefix and path:sub(#prefix + 1) or path
    end
    if #matched == 0 then without[#without + 1] = pattern end
  end
  return paths, shown, without
end

-- The hashes of all names of a list, where they have been read ahead.
local function foreseen(known, names)
  local found = { [names[1]] = known[names[1]] }
  for i = 1, #names do
    local content = known[names[i]]
    if content == nil then return nil end
    found[names[i]] = content
  end
  return found
end

-- {path = hash of its content, or "missing"} of paths and patterns, relative to the pipeline's folder.
local function hash_patterns(step, patterns)
  if #patterns == 0 then return {} end
  local known = step.foresight and step.foresight.known
  local read_ahead = known and foreseen(known, patterns)
  if read_ahead then return read_ahead end
  local paths, shown, without = patterns, patterns, none
  if not is_plain(patterns) then paths, shown, without = match(patterns, step.folder .. "/") end
  local contents = hash.contents(paths, step.folder)
  local found = #paths > 0 and { [shown[1]] = contents[1] } or {}
  for i = 2, #paths do found[shown[i]] = contents[i] end
  for i = 1, #without do found[without[i]] = "missing" end
  return found
end

function fingerprint.inputs(step) return hash_patterns(step, step.inputs) end
function fingerprint.outputs(step) return hash_patterns(step, step.outputs) end

-- What a shell's text may take from its environment, apart from what every shell sets by itself.
local ignored = { PWD = true, OLDPWD = true, RANDOM = true, SECONDS = true, LINENO = true, PPID = true, SHLVL = true, IFS = true,
                  PERILUNE_RUN_ID = true, PERILUNE_RUN_DIR = true, PERILUNE_STEP = true }

local function hash_of(value, mask) return hash.text(mask(type(value) == "table" and any_json.exact(value) or tostring(value))) end

local function add_shell_names(into, sh, context)
  for name in sh:gmatch("%$%{?([%a_][%w_]*)") do
    local value = context.environment[name]
    if not ignored[name] and value ~= nil then into["$" .. name] = hash_of(value, context.mask) end
  end
end

-- {name = hash} of everything by name that the step depends on.
local function hash_values(ready, step, context)
  local values, mask = {}, context.mask
  for i = 1, #step.names do
    local name = step.names[i]
    if name:sub(1, 4) ~= "run." then values[name] = hash_of(text.value(ready.names, name), mask) end
  end
  for name, value in pairs(context.own_environment) do values["$" .. name] = hash_of(value, mask) end
  if ready.sh then add_shell_names(values, ready.sh, context) end
  if ready.fn then
    for name, value in pairs(ready.names.params) do values["params." .. name] = hash_of(value, mask) end
    for name, value in pairs(step.matrix or {}) do values["matrix." .. name] = hash_of(value, mask) end
    if step.item ~= nil then values.item = hash_of(step.item, mask) end
  end
  if ready.takes_arguments then values["the arguments"] = hash_of(ready.arguments, mask) end
  return values
end

-- The parts of a resolved step. context: {mask, own_environment, environment}.
function fingerprint.of(ready, step, context)
  local parts = {
    command = hash.text(any_json.exact { step.argv or json.null, step.sh or json.null, ready.lua_source or json.null, step.env }),
    values = hash_values(ready, step, context),
    cwd = ready.cwd,
    executor = step.executor or "local",
    inputs = hash_patterns(ready, ready.inputs),
    outputs = ready.outputs,
  }
  local written = any_json.exact(parts)
  return { hash = hash.text(written), parts = written }
end

local function differences(before, now)
  local list = {}
  for _, name in ipairs(text.sorted_keys(now)) do
    if before[name] == nil then
      list[#list + 1] = { name, "is new" }
    elseif before[name] ~= now[name] then
      list[#list + 1] = { name, now[name] == "missing" and "is missing" or "changed" }
    end
  end
  for _, name in ipairs(text.sorted_keys(before)) do
    if now[name] == nil then list[#list + 1] = { name, "is gone" } end
  end
  return list
end

-- A path whose content is not what it was, and how it differs; nil where nothing does.
function fingerprint.first_difference(before, now)
  local first = differences(before, now)[1]
  if first then return first[1], first[2] end
end

local most_named <const> = 5

local function tell(list, prefix)
  local told = {}
  for i = 1, math.min(#list, most_named) do told[i] = ("%s%s %s"):format(prefix, list[i][1], list[i][2]) end
  if #list > most_named then told[#told + 1] = ("%d more"):format(#list - most_named) end
  return told
end

local function changed_parts(before, now)
  local told = {}
  local function add(list)
    for _, one in ipairs(list) do told[#told + 1] = one end
  end
  add(tell(differences(before.inputs or {}, now.inputs), "input "))
  add(tell(differences(before.values or {}, now.values), ""))
  if before.command ~= now.command then told[#told + 1] = "the command changed" end
  if before.executor ~= now.executor then told[#told + 1] = "the executor changed" end
  if before.cwd ~= now.cwd then told[#told + 1] = "the working directory changed" end
  if table.concat(before.outputs or {}, "\n") ~= table.concat(now.outputs, "\n") then told[#told + 1] = "the list of outputs changed" end
  return #told > 0 and table.concat(told, ", ") or "something it depends on changed"
end

-- True and why its outputs are good, or false and why it has to run. `print` is what fingerprint.of gave.
function fingerprint.verdict(ready, print, made)
  if #ready.outputs == 0 then return false, "it has no outputs" end
  if not made then return false, "it has not succeeded yet" end
  if made.fingerprint ~= print.hash then return false, changed_parts(json.decode(made.parts), json.decode(print.parts)) end
  local outputs = hash_patterns(ready, ready.outputs)
  if any_json.exact(outputs) ~= made.outputs then
    return false, table.concat(tell(differences(json.decode(made.outputs), outputs), "output "), ", ")
  end
  return true, "up to date since run " .. made.run
end

-- What a step that has just succeeded has not made, or nil.
function fingerprint.missing_output(outputs)
  for _, path in ipairs(text.sorted_keys(outputs)) do
    if outputs[path] == "missing" then return path end
  end
end

return fingerprint
