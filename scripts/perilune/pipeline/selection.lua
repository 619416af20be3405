-- Which steps a run is for: from targets and from --only, --from, --until, --skip to a set of keys.
local fs = require "perilune.fs"
local ends = require "perilune.pipeline.ends"
local fan_out = require "perilune.pipeline.fan_out"
local model = require "perilune.pipeline.model"
local text = require "perilune.pipeline.text"

local selection = {}

-- The words of a list of flags' values, each of which may name several: commas part them where they stand in no brackets.
function selection.words(list)
  local words = {}
  for _, value in ipairs(list or {}) do
    local depth, from = 0, 1
    for at = 1, #value + 1 do
      local c = value:sub(at, at)
      depth = depth + (c == "[" and 1 or c == "]" and -1 or 0)
      if c == "" or c == "," and depth == 0 then
        if at > from then words[#words + 1] = value:sub(from, at - 1) end
        from = at + 1
      end
    end
  end
  return words
end

local function set_of(words)
  local set = {}
  for _, word in ipairs(words) do set[word] = true end
  return set
end

local function first_in_lua(pipeline)
  for _, step in ipairs(pipeline.steps) do
    if step.fn or step.lua then return step.key end
  end
end

-- known: the keys that may be meant.
local function refuse_unknown(pipeline, name, known)
  local meant = text.suggestion(name, known or text.sorted_keys(pipeline.by_key))
  local adder = meant == "" and first_in_lua(pipeline)
  if adder then meant = ("; what a Lua step adds is no target, but that step is, like '%s'"):format(adder) end
  if meant == "" and fs.exists(name) then meant = ("; to run the file of that name, give it as ./%s"):format(name) end
  text.refuse(2, "unknown target '%s'%s", name, meant)
end

local function checked(pipeline, names)
  for _, name in ipairs(names) do
    if not pipeline.by_key[name] then refuse_unknown(pipeline, name) end
  end
  return names
end

local function holds(list, word)
  for _, one in ipairs(list) do
    if one == word then return true end
  end
  return false
end

-- The fan-out of an item that is to run by itself.
local function fan_out_of(pipeline, name)
  local whole = fan_out.of_item(pipeline, name)
  if not whole then refuse_unknown(pipeline, name) end
  local known = fan_out.known_keys(whole)
  if known and not holds(known, name) then refuse_unknown(pipeline, name, known) end
  return whole
end

-- The keys of what is to run. An item of a fan-out stands for the fan-out, which runs those items alone (`pipeline.wanted_items`)
-- unless the whole is wanted as well.
local function roots_of(pipeline, names)
  local keys, items, wholes = {}, {}, {}
  for i, name in ipairs(names) do
    local whole = not pipeline.by_key[name] and fan_out_of(pipeline, name)
    keys[i] = whole and whole.key or name
    if whole then
      items[whole.key] = items[whole.key] or {}
      items[whole.key][name] = true
      table.move(whole.needs, 1, #whole.needs, #wholes + 1, wholes)
    else
      wholes[#wholes + 1] = name
    end
  end
  for key in pairs(next(items) and selection.closure(pipeline, wholes) or {}) do items[key] = nil end
  pipeline.wanted_items = items
  return keys
end

-- Words that may also name what is added while the run goes on: a set.
function selection.names(pipeline, list)
  local words = selection.words(list)
  for _, word in ipairs(words) do
    if not pipeline.by_key[word] and not pipeline.by_key[(word:match("^[^%[]*"):gsub(":each$", ""))] and not first_in_lua(pipeline) then
      refuse_unknown(pipeline, word)
    end
  end
  return set_of(words)
end

-- The set of keys that the roots need, themselves included.
function selection.closure(pipeline, roots)
  local wanted, queue, last = {}, {}, 0
  local function want(keys)
    for i = 1, #keys do
      local key = keys[i]
      if not wanted[key] then
        wanted[key], last = true, last + 1
        queue[last] = key
      end
    end
  end
  want(roots)
  while last > 0 do
    local step = pipeline.by_key[queue[last]]
    last = last - 1
    want(step.needs)
  end
  return wanted
end

-- The set of keys that stand behind the roots, themselves included.
function selection.downstream(pipeline, roots)
  local behind = {}
  for _, step in ipairs(pipeline.steps) do
    for _, key in ipairs(model.dependencies(step)) do
      behind[key] = behind[key] or {}
      table.insert(behind[key], step.key)
    end
  end
  local reached, queue = set_of(roots), { table.unpack(roots) }
  for _, root in ipairs(roots) do
    for _, key in ipairs(pipeline.by_key[root].members or {}) do
      reached[key] = true
      queue[#queue + 1] = key
    end
  end
  while #queue > 0 do
    for _, key in ipairs(behind[table.remove(queue)] or {}) do
      if not reached[key] then
        reached[key] = true
        queue[#queue + 1] = key
      end
    end
  end
  return reached
end

-- Steps that run after the wanted ones whatever became of those, and what they need.
local function add_followers(pipeline, wanted)
  local function follows(step)
    if ends.is_last(step) then return true end
    if step.when == "success" then return false end
    for _, key in ipairs(step.after) do
      if wanted[key] then return true end
    end
    return false
  end
  local more = true
  while more do
    more = false
    for _, step in ipairs(pipeline.steps) do
      if step.when ~= "success" and not wanted[step.key] and follows(step) or step.finally and not wanted[step.key] then
        for key in pairs(selection.closure(pipeline, { step.key })) do wanted[key] = true end
        more = true
      end
    end
  end
end

local function all_keys(pipeline)
  local keys = {}
  for i, step in ipairs(pipeline.steps) do keys[i] = step.key end
  return keys
end

local function keep_only(wanted, allowed, pipeline)
  for key in pairs(wanted) do
    if not allowed[key] and not ends.is_last(pipeline.by_key[key]) then wanted[key] = nil end
  end
end

-- Of all steps, or of those that the targets need.
local function only(pipeline, values, targets)
  local wanted, of_targets = {}, #targets > 0 and selection.closure(pipeline, roots_of(pipeline, targets))
  for _, name in ipairs(roots_of(pipeline, selection.words(values.only))) do
    if of_targets and not of_targets[name] then
      text.refuse(2, "--only: %s is no part of what %s needs", name, table.concat(targets, ", "))
    end
    wanted[name] = true
    for _, key in ipairs(pipeline.by_key[name].members or {}) do wanted[key] = true end
  end
  return wanted
end

-- The set of keys to run. values: of the flags.
function selection.wanted(pipeline, values, targets)
  if values.only then return only(pipeline, values, targets) end
  local last = values["until"] and roots_of(pipeline, selection.words(values["until"]))
  local roots = #targets > 0 and targets or not last and (pipeline.settings.default or all_keys(pipeline))
  local wanted = selection.closure(pipeline, roots and roots_of(pipeline, roots) or last)
  if last and #targets > 0 then keep_only(wanted, selection.closure(pipeline, last), pipeline) end
  add_followers(pipeline, wanted)
  if values.from then
    keep_only(wanted, selection.downstream(pipeline, checked(pipeline, selection.words(values.from))), pipeline)
  end
  return wanted
end

return selection
