-- Words of the pipeline runner: problems with an exit code, suggestions, durations, replaced names, masked secrets.
local options = require "perilune.native.options"

local text = {}

local problem_type = { __tostring = function(p) return p.message end }

-- Raises what ends the command with `code`: 2 wrong usage, 3 an invalid file, 75 a locked state.
function text.refuse(code, message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(setmetatable({ message = message, code = code }, problem_type), 0)
end

function text.is_problem(value) return getmetatable(value) == problem_type end

local function numbers_first(a, b)
  if type(a) == type(b) then return a < b end
  return type(a) == "number"
end

function text.sorted_keys(map)
  local keys, kind, mixed = {}, type((next(map))), false
  for key in pairs(map) do
    keys[#keys + 1] = key
    mixed = mixed or type(key) ~= kind
  end
  if #keys > 1 then table.sort(keys, mixed and numbers_first or nil) end
  return keys
end

-- "; did you mean 'build'?", or "" where nothing known is close.
function text.suggestion(word, known)
  local best = options.closest(word, known)
  return best and ("; did you mean '%s'?"):format(best) or ""
end

-- executors: by name, those that there are beside "local".
function text.no_executor(name, executors)
  local known = text.sorted_keys(executors)
  known[#known + 1] = "local"
  return ("there is no executor '%s'%s"):format(name, text.suggestion(name, known))
end

-- The value of a flag that has to be one of those known; refused otherwise. given_as: how messages call the flag.
function text.one_of(flag, value, known, given_as)
  for _, name in ipairs(known) do
    if value == name then return value end
  end
  text.refuse(2, "%s: one of %s expected, got '%s'%s", given_as or "--" .. flag, table.concat(known, ", "), value, text.suggestion(value, known))
end

local units = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, [""] = 1 }

-- Seconds of "250ms", "10s", "1h30m" or a number; nil for anything else.
function text.duration(value)
  if type(value) == "number" then return value >= 0 and value or nil end
  if type(value) ~= "string" or value == "" then return nil end
  local total, at = 0, 1
  while at <= #value do
    local number, unit, next_at = value:match("^(%d+%.?%d*)(%a*)()", at)
    if not number or not units[unit] then return nil end
    total, at = total + tonumber(number) * units[unit], next_at
  end
  return total
end

-- A whole number from 1 on, or what a template became that is one; nil for anything else.
function text.count(value)
  if type(value) == "string" then value = math.tointeger(tonumber(value)) end
  return math.type(value) == "integer" and value > 0 and value or nil
end

-- What the readers of these names take, as messages say it.
text.expected = { duration = "a duration like \"90s\" or \"2m\"", count = "a whole number from 1 on" }

local namespaces = { params = true, matrix = true, item = true, env = true, run = true, secrets = true, steps = true }

local function descend(value, path)
  for part in path:gmatch("[^%.]+") do
    if type(value) ~= "table" then return nil end
    value = value[part]
  end
  return value
end

-- What a name like "params.version" stands for, or nil. The key of a step may have dots: the shortest that is known counts.
function text.value(scope, name)
  local keys = name:match("^steps%.(.+)$")
  if not keys or not scope.steps then return descend(scope, name) end
  for before, after in keys:gmatch("()%.()") do
    local step = scope.steps[keys:sub(1, before - 1)]
    if step then return descend(step, keys:sub(after)) end
  end
end

-- Why a name of a step has no value, as far as it can be told: "; ...", or "".
local function why_no_value(scope, path)
  local key, field = path:match("^steps%.(.+)%.([%w_%-]+)$")
  if not key or not scope.steps then return "" end
  local function not_run(name) return ("; step '%s' has not run"):format(name) end
  for at in key:gmatch("()%.") do
    local name = key:sub(1, at - 1)
    local whole = scope.steps[name]
    if whole then return whole.status == "not_run" and not_run(name) or "" end -- within the value of that step
  end
  local step = scope.steps[key]
  if not step then return ("; no step '%s' has ended before this one%s"):format(key, text.suggestion(key, text.sorted_keys(scope.steps))) end
  if step.status == "not_run" then return not_run(key) end
  local captured = field == "value" or field == "stdout"
  return captured and step.status == "succeeded" and ("; capture = \"text\" in step '%s' keeps what it prints"):format(key) or ""
end

local function look_up(scope, path, raw)
  local value = text.value(scope, path)
  if value == nil then
    if scope.keep_unknown then return raw end
    text.refuse(3, "%s has no value%s", raw, why_no_value(scope, path))
  end
  if type(value) == "table" then text.refuse(3, "%s is no single value", raw) end
  return tostring(value)
end

local function is_name(ns, rest)
  if ns == "steps" then return rest:match("^%..+%.[%w_%-]+$") ~= nil end
  return namespaces[ns] and (rest == "" and ns == "item" or rest:match("^%.[%w_%.%-]+$") ~= nil)
end

-- Whether there may be a name in it to replace.
function text.is_template(value) return type(value) == "string" and value:find("${", 1, true) ~= nil end

-- The same of a value with texts in it.
function text.has_template(value)
  if type(value) ~= "table" then return text.is_template(value) end
  for _, each in pairs(value) do
    if text.has_template(each) then return true end
  end
  return false
end

-- Whether something in a value only stands for what is not known yet; see early.lua.
function text.has_blank(value, blanks)
  if type(value) == "table" then
    for _, each in pairs(value) do
      if text.has_blank(each, blanks) then return true end
    end
    return false
  end
  for _, blank in ipairs(blanks) do
    if type(value) == "string" and value:find(blank, 1, true) then return true end
  end
  return false
end

-- Replaces `${ns.name}` of known namespaces. Every other `${...}` stays for the shell. What has no value is refused; with
-- scope.keep_unknown it stays too.
function text.expand(template, scope)
  if not template:find("${", 1, true) then return template end
  local parts, at = {}, 1 -- no gsub: looking up may read files, and so wait
  for from, ns, rest, to in template:gmatch("()%${([%a_][%w_]*)([^}]*)}()") do
    if is_name(ns, rest) then
      parts[#parts + 1] = template:sub(at, from - 1)
      parts[#parts + 1] = look_up(scope, ns .. rest, "${" .. ns .. rest .. "}")
      at = to
    end
  end
  if at == 1 then return template end
  parts[#parts + 1] = template:sub(at)
  return table.concat(parts)
end

-- A list, or values by name, as texts with their names replaced: itself where that changes nothing.
function text.expand_all(values, scope)
  local changed
  for key, value in pairs(values) do
    local expanded = type(value) == "string" and value or tostring(value)
    if expanded:find("${", 1, true) then expanded = text.expand(expanded, scope) end
    if expanded ~= value then
      changed = changed or {}
      changed[key] = expanded
    end
  end
  if not changed then return values end
  for key, value in pairs(values) do changed[key] = changed[key] or value end
  return changed
end

-- The same value with every text in it replaced.
function text.expand_within(value, scope)
  if type(value) == "string" then return text.expand(value, scope) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, each in pairs(value) do copy[key] = text.expand_within(each, scope) end
  return setmetatable(copy, getmetatable(value))
end

-- Adds every name that a template mentions, like "params.version" or "item", to a set.
function text.add_names(set, template)
  for ns, rest in template:gmatch("%${([%a_][%w_]*)([^}]*)}") do
    if is_name(ns, rest) then set[ns .. rest] = true end
  end
end

-- "param.version" and "params.version" where a template says `${param.version}`, which no shell understands either; else nil.
function text.mistyped_name(template)
  for ns, rest in template:gmatch("%${(%a+)(%.[%w_%.%-]+)}") do
    local meant = namespaces[ns .. "s"] and ns .. "s" or ns:match("^(.+)s$")
    if not namespaces[ns] and namespaces[meant] then return ns .. rest, meant .. rest end
  end
end

local function quoted(word)
  if word ~= "" and not word:find("[^%w_@%%+=:,./%-]") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

function text.command_line(argv)
  local words = argv
  for i = 1, #argv do
    local word = argv[i]
    local shown = quoted(type(word) == "string" and word or tostring(word))
    if shown ~= word then
      if words == argv then words = table.move(argv, 1, #argv, 1, {}) end
      words[i] = shown
    end
  end
  return table.concat(words, " ")
end

-- "left 2 processes"
function text.left(n) return n == 1 and "left 1 process" or ("left %d processes"):format(n) end

function text.seconds(s)
  if s < 0.1 then return ("%dms"):format(math.ceil(s * 1000)) end
  if s < 60 then return ("%.1fs"):format(s) end
  return ("%dm%02ds"):format(s // 60, math.floor(s % 60))
end

return text
