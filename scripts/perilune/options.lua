-- Tables of options, as modules written in Lua are given them: each name is known and has a kind. A kind is the name of a type, or one
-- of those below; "any" is checked by who asks.
local native = require "perilune.native.options"

local error, ipairs, math_type, pairs, sort, tostring, type = error, ipairs, math.type, pairs, table.sort, tostring, type

local options = {}

local function is_any() return true end
local function is_count(value) return native.count(value, 1) ~= nil end
local function is_positive(value) return math_type(value) ~= nil and value > 0 end
local function is_seconds(value) return math_type(value) ~= nil and value >= 0 end

local kinds_of_values <const> = {
  any = { is_any }, callable = { native.callable, "a function" }, count = { is_count, "a positive integer" },
  positive = { is_positive, "a number above 0" }, seconds = { is_seconds, "seconds" },
}

local function problem_of(value, kind)
  local own = kinds_of_values[kind]
  if not own then return type(value) ~= kind and ("a %s expected, got %s"):format(kind, type(value)) end
  return not own[1](value) and ("%s expected, got %s"):format(own[2], type(value) == "number" and tostring(value) or type(value))
end

-- What is wrong with a table of options, or nil. `kinds`: of each option that there is.
function options.problem(given, call, kinds)
  local names = {}
  for name in pairs(kinds) do names[#names + 1] = name end
  sort(names)
  local unknown = native.problem(given, call, names)
  if unknown then return unknown end
  for _, name in ipairs(names) do
    local problem = given[name] ~= nil and problem_of(given[name], kinds[name])
    if problem then return ("bad option '%s' to '%s' (%s)"):format(name, call, problem) end
  end
end

-- The options of a call, or an empty table; `level` is that of the script's call, as for `error`.
function options.check(given, call, position, kinds, level)
  if given == nil then return {} end
  local problem = type(given) ~= "table" and ("bad argument #%d to '%s' (a table of options expected, got %s)"):format(position, call, type(given))
    or options.problem(given, call, kinds)
  if problem then error(problem, level + 1) end
  return given
end

return options
