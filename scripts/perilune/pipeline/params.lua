-- What a run is told from outside: parameters, environments, secrets. Precedence of parameters: -p, --params-file,
-- PERILUNE_PARAM_NAME, the default. Of a step's environment: the step, --env-file, this program's, [pipeline] env, dotenv.
local env = require "perilune.env"
local fs = require "perilune.fs"
local json = require "perilune.json"
local regex = require "perilune.native.regex"
local text = require "perilune.pipeline.text"

local params = {}

local converters = {
  string = tostring,
  integer = function(v) return math.tointeger(tonumber(v)) end,
  number = tonumber,
  boolean = function(v)
    if v == true or v == "true" or v == "1" or v == "yes" then return true end
    if v == false or v == "false" or v == "0" or v == "no" then return false end
  end,
}

local longest_matched <const> = 4096

-- Whether a text matches a regular expression (those of ECMAScript) anywhere; nil and the problem where it is none.
local function matches(pattern, value)
  if #value > longest_matched then return false end
  return regex.search(pattern, value)
end

local function check_value(name, spec, given)
  local kind = spec.type or "string"
  local value = converters[kind](given)
  if value == nil then text.refuse(2, "parameter '%s': %s expected, got '%s'", name, kind, tostring(given)) end
  if spec.choices then
    local listed = {}
    for i, choice in ipairs(spec.choices) do
      if choice == value then return value end
      listed[i] = tostring(choice)
    end
    text.refuse(2, "parameter '%s': one of %s expected, got '%s'%s", name, table.concat(listed, ", "), tostring(value),
                text.suggestion(tostring(value), listed))
  end
  if spec.pattern and not matches(spec.pattern, tostring(value)) then
    text.refuse(2, "parameter '%s': '%s' does not match %s", name, tostring(value), spec.pattern)
  end
  return value
end

local named_fields <const> = { "default", "pattern", "choices" } -- may name variables and other parameters

-- What is wrong with the names in one of them, or nil.
local function problem_of_names(value, specs)
  local names = {}
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    if text.is_template(one) then text.add_names(names, one) end
  end
  for _, full in ipairs(text.sorted_keys(names)) do
    local ns, name = full:match("^(%a+)%.?([^.]*)")
    if ns ~= "env" and ns ~= "params" then return ("only ${env.NAME} and ${params.NAME} are known here, got ${%s}"):format(full) end
    if ns == "params" and not specs[name] then
      return ("there is no params.%s%s"):format(name, text.suggestion(name, text.sorted_keys(specs)))
    end
  end
end

-- What is wrong with the description of a parameter, one of specs: the key and the problem, or nil.
function params.problem_of(name, specs)
  local spec = specs[name]
  if not converters[spec.type or "string"] then
    return "type", ("one of string, integer, number, boolean expected, got '%s'"):format(tostring(spec.type)) ..
      text.suggestion(tostring(spec.type), text.sorted_keys(converters))
  end
  for _, key in ipairs(named_fields) do
    local problem = text.has_template(spec[key]) and problem_of_names(spec[key], specs)
    if problem then return key, problem end
  end
  local _, problem = nil, nil
  if spec.pattern and not text.is_template(spec.pattern) then _, problem = regex.search(spec.pattern, "") end
  if problem then return "pattern", "no regular expression: " .. problem end
  if spec.default ~= nil and not text.has_template { spec.default, spec.pattern, spec.choices } then
    local ok, problem = pcall(check_value, name, spec, spec.default)
    if not ok then return "default", tostring(problem) end
  end
end

-- {name = value} of the words of -p.
function params.given(words)
  local given = {}
  for _, word in ipairs(words or {}) do
    local name, value = word:match("^([^=]+)=(.*)$")
    if not name then text.refuse(2, "-p NAME=VALUE expected, got '%s'", word) end
    given[name] = value
  end
  return given
end

local function read_params_file(path)
  local found, source = pcall(fs.read, path)
  if not found then text.refuse(2, "--params-file: cannot read %s", path) end
  local read, problem
  if path:match("%.json$") then
    read, problem = json.decode(source)
  else
    read, problem = require("perilune.toml").decode(source)
  end
  if not read then text.refuse(3, "%s:%s", path, problem) end
  return read
end

local function blank(name) return "<" .. name .. ">" end

-- Whether a value only stands for a required parameter that was not given.
function params.is_blank(name, spec, value) return spec.required and value == blank(name) end

-- What stands for the required parameters that were not given, as a list.
function params.blanks(declared, values)
  local blanks = {}
  for name, spec in pairs(declared) do
    if params.is_blank(name, spec, values[name]) then blanks[#blanks + 1] = blank(name) end
  end
  return blanks
end

-- A value of a description with names replaced: of variables, and of other parameters, which are read on the way.
local function named_value(name, value, environment, read_one, lenient)
  if not text.has_template(value) then return value end
  local scope = { env = environment, params = setmetatable({}, { __index = function(_, other) return read_one(other) end }), keep_unknown = lenient }
  local ok, value = pcall(text.expand_within, value, scope)
  if ok then return value end
  if not text.is_problem(value) or value.message:match("^parameter") then error(value, 0) end
  text.refuse(value.code, "parameter '%s': %s", name, value.message)
end

-- The values of all parameters. `lenient` leaves out what is required but was not given (for list, show, check).
function params.read(specs, given, file, environment, lenient)
  local named = text.sorted_keys(specs)
  local from_file = file and read_params_file(file) or {}
  for _, source in ipairs { given, from_file } do
    for name in pairs(source) do
      if not specs[name] then text.refuse(2, "unknown parameter '%s'%s", name, text.suggestion(name, named)) end
    end
  end
  local values, under_way = {}, {}
  local function read_one(name)
    local spec = specs[name]
    if values[name] ~= nil or not spec then return values[name] end
    if under_way[name] then
      text.refuse(3, "parameters: a cycle: %s -> %s", table.concat(under_way, " -> ", under_way[name]), name)
    end
    under_way[#under_way + 1], under_way[name] = name, #under_way + 1
    local raw = given[name]
    if raw == nil then raw = from_file[name] end
    if raw == nil then raw = env.get("PERILUNE_PARAM_" .. name:upper():gsub("%-", "_")) end
    local function named(value) return named_value(name, value, environment, read_one, lenient) end
    if raw == nil then raw = named(spec.default) end
    if raw ~= nil then
      values[name] = check_value(name, { type = spec.type, pattern = named(spec.pattern), choices = named(spec.choices) }, raw)
    elseif spec.required and not lenient then
      text.refuse(2, "parameter '%s' is required%s; give -p %s=VALUE", name, spec.doc and " (" .. spec.doc .. ")" or "", name)
    else
      values[name] = lenient and spec.required and blank(name) or ""
    end
    under_way[#under_way], under_way[name] = nil, nil
    return values[name]
  end
  for _, name in ipairs(named) do read_one(name) end
  return values
end

-- What stands in a file, or nil where there is none; what is there and cannot be read is refused.
local function read_file(path)
  local ok, there = pcall(fs.exists, path)
  if ok and not there then return nil end
  local read, source = pcall(fs.read, path)
  if not read then text.refuse(2, "cannot read %s%s", path, tostring(source.message or source):match("(: [^:\n]+)$") or "") end
  return source
end

local function read_dotenv(path, must_exist)
  local source = read_file(path)
  if not source then
    if must_exist then text.refuse(2, "cannot read %s", path) end
    return {}
  end
  local values, problem = env.parse(source)
  if not values then text.refuse(3, "%s:%s", path, problem) end
  return values
end

local function lay_over(under, over)
  for name, value in pairs(over) do under[name] = tostring(value) end
  return under
end

-- The environment that steps start from, and what it adds to this program's.
function params.environment(settings, folder, env_files)
  local own, whole = {}, {}
  for _, path in ipairs(settings.dotenv or {}) do
    lay_over(own, read_dotenv(path:match("^/") and path or folder .. "/" .. path))
  end
  lay_over(own, settings.env or {})
  lay_over(whole, own)
  lay_over(whole, env.all())
  for _, path in ipairs(env_files or {}) do
    local read = read_dotenv(path, true)
    lay_over(own, read)
    lay_over(whole, read)
  end
  for name in pairs(own) do own[name] = whole[name] end
  return whole, own
end

-- What the file itself sets may name parameters and secrets, where nobody has set it to something else.
function params.expand_settings(settings, scope, own)
  for name, value in pairs(settings.env or {}) do
    if text.is_template(value) and own[name] == value then
      own[name] = text.expand(value, scope)
      scope.env[name] = own[name]
    end
  end
end

-- The names of variables and files may name variables and parameters.
function params.secrets(specs, environment, folder, lenient, given)
  local values, scope = {}, { env = environment, params = given, keep_unknown = lenient }
  for name, spec in pairs(specs) do
    local value = spec.env and environment[text.expand(spec.env, scope)]
    if not value and spec.file then
      local path = text.expand(spec.file, scope)
      local source = read_file(path:match("^/") and path or folder .. "/" .. path)
      value = source and source:gsub("%s+$", "")
    end
    if not value and spec.required and not lenient then
      text.refuse(2, "secret '%s' is required; set %s", name, spec.env or spec.file or "its env or file")
    end
    values[name] = value or ""
  end
  return values
end

return params
