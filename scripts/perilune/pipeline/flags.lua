-- The flags of the commands on pipelines, read from words and from PERILUNE_* variables.
local vocabulary = require "perilune.cli.vocabulary"
local env = require "perilune.env"
local text = require "perilune.pipeline.text"

local flags = {}

local known, short = vocabulary.flags, {}
for name, flag in pairs(known) do
  if flag.short then short[flag.short] = name end
end

-- The flags of a command, as a set; of all commands where it is not known yet.
local function allowed(command)
  if not command then return known end
  local set = {}
  for _, flag in ipairs(vocabulary.flags_of(vocabulary.commands[command])) do set[flag.name] = true end
  return set
end

local readers = {
  string = function(v) return v end,
  list = function(v) return v end,
  path = function(v) return v == "1" or v == "true" or v end,
  integer = function(v) return math.tointeger(tonumber(v)) end,
  number = tonumber,
  duration = text.duration,
  jobs = function(v) return v == "auto" and "auto" or math.tointeger(tonumber(v)) end,
}

local expected <const> = { duration = "a duration like 90s", number = "a number", jobs = "a whole number from 1 on or auto" }

-- `given_as`: how messages call it.
local function store_value(values, name, raw, given_as)
  local kind, words = known[name].kind, known[name].complete
  if type(words) == "table" then text.one_of(name, raw, words, given_as) end
  local value = readers[kind](raw)
  if value == nil or type(value) == "number" and value < 0 or kind == "jobs" and value == 0 then
    text.refuse(2, "%s: %s expected, got '%s'", given_as or "--" .. name, expected[kind] or "a whole number", raw)
  end
  if kind == "list" then
    values[name] = values[name] or {}
    table.insert(values[name], value)
  else
    values[name] = value
  end
end

local switches <const> = { ["1"] = true, ["true"] = true, yes = true, on = true, ["0"] = false, ["false"] = false, no = false, off = false }

local function read_switch(raw, variable)
  local on = switches[raw:lower()]
  if on == nil then text.refuse(2, "%s: true or false expected, got '%s'", variable, raw) end
  return on
end

-- Flags that were not given, from their PERILUNE_* variables.
function flags.read_environment(values, command)
  for name in pairs(allowed(command)) do
    local flag = known[name]
    local raw = env.get(flag.variable)
    if raw and raw ~= "" and values[name] == nil then
      if flag.kind == "flag" then
        values[name] = read_switch(raw, flag.variable)
      else
        for one in raw:gmatch(flag.kind == "list" and "[^\n]+" or ".+") do store_value(values, name, one, flag.variable) end
      end
    end
  end
end

local function names_pipeline(word) return word ~= nil and word:match("%.toml$") or word and word:match("%.lua$") end

local function read_flag(values, words, at, command)
  local word = words[at]
  local name, attached = word:match("^%-%-([^=]+)=(.*)$")
  name = name or word:match("^%-%-(.+)$")
  if not name then
    name = short[word:sub(2, 2)]
    if command == "logs" and word == "-f" and not names_pipeline(words[at + 1]) then name = "follow" end
    attached = #word > 2 and word:sub(3) or nil
  end
  if not name or not known[name] or not allowed(command)[name] then
    local all = {}
    for key in pairs(allowed(command)) do all[#all + 1] = "--" .. key end
    if not command then all[#all + 1] = "--version" end
    table.sort(all)
    local flag = word:match("^[^=]+")
    local meant = text.suggestion(flag, all)
    local told, help = command and command .. ": " or "", command and command .. " " or ""
    text.refuse(2, "%sunknown flag '%s'%s", told, flag, meant ~= "" and meant or ("; see perilune %s--help"):format(help))
  end
  if known[name].kind == "flag" then
    values[name] = true
    if not attached then return at + 1 end
    if word:sub(1, 2) == "--" or attached:sub(1, 1) == "=" then text.refuse(2, "%s: takes no value", word:match("^%-%-[^=]+") or word:sub(1, 2)) end
    words[at] = "-" .. attached -- letters behind one another
    return at
  end
  if known[name].kind == "path" and not attached then attached = "1" end
  if attached then
    store_value(values, name, attached)
    return at + 1
  end
  if words[at + 1] == nil then text.refuse(2, "%s needs a value", word) end
  store_value(values, name, words[at + 1])
  return at + 2
end

local function is_flag(word) return word:sub(1, 1) == "-" and #word > 1 end

local function read_words(values, words, command, stops)
  local rest, behind, at = {}, {}, 1
  while at <= #words do
    local word = words[at]
    if word == "--" then
      table.move(words, at + 1, #words, 1, behind)
      break
    elseif is_flag(word) then
      at = read_flag(values, words, at, command)
    elseif stops and stops(word, values) then
      return rest, behind, table.move(words, at, #words, 1, {})
    else
      rest[#rest + 1] = word
      at = at + 1
    end
  end
  return rest, behind
end

-- Returns the values of flags, the other words, and what stands behind `--`. `stops(word, values)`: at the first word for which it says
-- so reading ends, and it and what follows are returned too.
function flags.read(words, command, stops)
  local values = {}
  local rest, behind, unread = read_words(values, words, command, stops)
  if not unread then flags.read_environment(values, command) end
  return values, rest, behind, unread
end

-- The flags that words begin with, whatever command they are for: their values, and where the first other word stands.
function flags.leading(words)
  local values, copy, at = {}, table.move(words, 1, #words, 1, {}), 1
  while copy[at] and copy[at] ~= "--" and is_flag(copy[at]) do at = read_flag(values, copy, at) end
  return values, at
end

-- Reads on into the same values: returns words and what stands behind `--`.
function flags.read_more(values, words, command) return read_words(values, words, command) end

return flags
