-- What a pipeline file may say: known keys, their types, and the place of everything that is wrong.
local params = require "perilune.pipeline.params"
local text = require "perilune.pipeline.text"

local schema = {}

local pipeline_keys = { name = "string", doc = "string", default = "words", dotenv = "words", env = "map", cwd = "string",
                        timeout = "duration", jobs = "count", grace = "duration", executor = "string" }
local top_keys = { pipeline = "names", params = "names", secrets = "names", pools = "names", executors = "names", steps = "names" }
local param_keys = { type = "string", required = "boolean", default = "scalar", pattern = "string", choices = "list",
                     doc = "string" }
local secret_keys = { env = "string", file = "string", required = "boolean" }
local executor_keys = { kind = "kind", submit = "argv", status = "argv", cancel = "argv", kill = "argv", collect = "argv", jobs = "count",
                        poll = "duration", partition = "string", account = "string", time = "scalar", cpus = "count", mem = "scalar",
                        args = "argv" }
local each_keys = { argv = "argv", sh = "string", lua = "string", items = "list" }
local retry_keys = { attempts = "integer", backoff = "any", factor = "number", jitter = "number", on = "words" }
local step_keys = {
  doc = "string", argv = "argv", sh = "string", lua = "string", needs = "words", after = "words", when = "when", ["if"] = "string",
  matrix = "table", each = "each", env = "map", cwd = "string", inputs = "words", outputs = "words", pool = "string",
  timeout = "duration", retry = "any", fail = "fail", effect = "boolean", capture = "capture", limit = "count",
  interactive = "boolean", grace = "duration", finally = "boolean", executor = "string",
}
schema.keys = { top = top_keys, pipeline = pipeline_keys, params = param_keys, secrets = secret_keys, executors = executor_keys, each = each_keys,
                retry = retry_keys, step = step_keys }
schema.choices = { when = { "success", "failure", "cancelled", "always" }, fail = { "collect", "fast" },
                   capture = { "json", "text", "lines" }, kind = { "command", "slurm" } }

local function one_of(allowed)
  return function(value)
    for _, word in ipairs(allowed) do
      if value == word then return true end
    end
    return false, "one of " .. table.concat(allowed, ", ") .. " expected", allowed
  end
end

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

local function list_of_strings(value)
  if type(value) == "string" then return true end
  if not is_list(value) then return false, "a string or a list of strings expected" end
  for i = 1, #value do
    if type(value[i]) ~= "string" then return false, "a list of strings expected" end
  end
  return true
end

local single <const> = { string = true, number = true, boolean = true }

local function all_single(values)
  for _, value in pairs(values) do
    if not single[type(value)] then return false end
  end
  return true
end

local function list_of_words(value)
  if not is_list(value) then return false, "a list expected" end
  return all_single(value), "a list of single words expected"
end

local function by_name(value) return type(value) == "table" and value[1] == nil end

local checks = {
  argv = list_of_words,
  names = function(value) return by_name(value), "a table of names expected" end,
  count = function(value) return text.is_template(value) or math.type(value) == "integer" and value > 0, text.expected.count .. " expected" end,
  each = function(value)
    local kind = type(value)
    return kind == "table" or kind == "string" or kind == "function", "a list, a command, or the value of a step expected"
  end,
  words = list_of_strings,
  list = function(value) return is_list(value), "a list expected" end,
  map = function(value) return by_name(value) and all_single(value), "a table of names and single values expected" end,
  integer = function(value) return text.is_template(value) or math.type(value) == "integer", "a whole number expected" end,
  number = function(value) return text.is_template(value) or type(value) == "number", "a number expected" end,
  duration = function(value) return text.is_template(value) or text.duration(value) ~= nil, text.expected.duration .. " expected" end,
  scalar = function(value) return type(value) ~= "table", "a single value expected" end,
  any = function() return true end,
}
for kind, allowed in pairs(schema.choices) do checks[kind] = one_of(allowed) end

local function conforms(value, kind)
  if checks[kind] then return checks[kind](value) end
  local article = kind == "integer" and "an" or "a"
  return type(value) == kind, article .. " " .. kind .. " expected"
end

-- What stands there instead: a number is shown, and a word where another word is expected; of all else its type.
local function got(value, kind, allowed)
  if type(value) == "string" and (allowed or kind == "duration") then
    return ("'%s'%s"):format(value, allowed and text.suggestion(value, allowed) or "")
  end
  return type(value) == "number" and tostring(value) or type(value)
end

local reader = {}
reader.__index = reader

-- "file:line:column" of a key in a table's place, which may be a function that finds it.
function reader:where(place, key)
  if type(place) == "function" then place = place() end
  local at = place and place.keys and place.keys[key] or place and place.at
  return at and ("%s:%d:%d"):format(self.file, at >> 16, at & 0xffff) or self.file
end

function reader:complain(place, key, message, ...)
  self.problems[#self.problems + 1] = self:where(place, key) .. ": " .. message:format(...)
end

local function is_sound(value, known)
  for key, item in pairs(value) do
    local kind = known[key]
    local check = checks[kind]
    if not check and type(item) ~= kind or check and not check(item) then return false end
  end
  return true
end

-- `name`: of one in a section.
function reader:check(value, place, known, what, name)
  if is_sound(value, known) then return end
  if name then what = what .. "." .. name end
  for _, key in ipairs(text.sorted_keys(value)) do
    local kind = known[key]
    if not kind then
      self:complain(place, key, "unknown key '%s' in %s%s", key, what, text.suggestion(tostring(key), text.sorted_keys(known)))
    else
      local ok, expected, allowed = conforms(value[key], kind)
      local whole = known == top_keys and key or what .. "." .. key
      if not ok then self:complain(place, key, "%s: %s, got %s", whole, expected, got(value[key], kind, allowed)) end
    end
  end
end

local function within(place, key) return place and place.within and place.within[key] end

-- Has `check(name, value, place)` look at every table of a section; where that finds something once more, in order.
function reader:each_of(values, places, section, check)
  if not by_name(values[section]) then return end
  local place, known = within(places, section), #self.problems
  local function look(name, value, at)
    if type(value) == "table" then
      check(name, value, at)
    else
      self:complain(place, name, "%s.%s: a table expected, got %s", section, name, got(value))
    end
  end
  for name, value in pairs(values[section]) do look(name, value) end
  if #self.problems == known then return end
  self.problems = table.move(self.problems, 1, known, 1, {})
  for _, name in ipairs(text.sorted_keys(values[section])) do look(name, values[section][name], within(place, name)) end
end

function reader:check_section(values, places, section, keys)
  self:each_of(values, places, section, function(name, value, place) self:check(value, place, keys, section, name) end)
end

local function commands_of(step)
  return (step.argv and 1 or 0) + (step.sh and 1 or 0) + (step.lua and 1 or 0)
end

function reader:check_within(name, step, place, key, keys)
  if type(step[key]) == "table" and not is_list(step[key]) then
    self:check(step[key], within(place, key), keys, "steps." .. name .. "." .. key)
  end
end

function reader:check_step(name, step, place)
  self:check(step, place, step_keys, "steps", name)
  if step.matrix and type(step.matrix) == "table" then
    for _, key in ipairs(text.sorted_keys(step.matrix)) do
      if not is_list(step.matrix[key]) then
        self:complain(within(place, "matrix"), key, "steps.%s.matrix.%s: a list expected, got %s", name, key, type(step.matrix[key]))
      end
    end
  end
  if commands_of(step) > 1 then self:complain(place, nil, "steps.%s: only one of argv, sh and lua", name) end
  if not name:match("^[%w_%-%.:/\x80-\xff]+$") then self:complain(place, nil, "steps.%s: a step's name has letters, digits and _-.:/", name) end
  if type(step.argv) == "table" and #step.argv == 0 then self:complain(place, "argv", "steps.%s.argv: a program expected", name) end
  self:check_within(name, step, place, "retry", retry_keys)
  self:check_within(name, step, place, "each", each_keys)
  if type(step.each) == "table" and commands_of(step.each) + (step.each.items and 1 or 0) > 1 then
    self:complain(place, "each", "steps.%s.each: only one of argv, sh, lua and items", name)
  end
end

local spec_keys = { fn = "function", make = "function" }
for key, kind in pairs(step_keys) do spec_keys[key] = kind end

-- What is wrong with a step that Lua makes, or nil. Durations may be numbers there, a fan-out a function.
function schema.problem_of_step(key, spec)
  if type(spec) ~= "table" then return ("a table or a function expected, got %s"):format(type(spec)) end
  for _, name in ipairs(text.sorted_keys(spec)) do
    local kind = spec_keys[name]
    if not kind then return ("unknown key '%s'%s"):format(tostring(name), text.suggestion(tostring(name), text.sorted_keys(step_keys))) end
    local ok, expected, allowed = conforms(spec[name], kind)
    if not ok then return ("%s: %s, got %s"):format(name, expected, got(spec[name], kind, allowed)) end
  end
  if commands_of(spec) + (spec.fn and 1 or 0) > 1 then return "only one of argv, sh, lua and fn" end
  if spec.argv and #spec.argv == 0 then return "argv: a program expected" end
  if key == "" then return "a key expected" end
end

-- What a template names that is not there, or nil: the whole name, and what may have been meant. known: a set for each namespace that is
-- looked into. Only `item` is a name by itself.
function schema.unknown_name(full, known)
  local ns, word = full:match("^(%a+)%.?([^.]*)")
  if not known[ns] or known[ns][word] ~= nil or word == "" and ns ~= "item" then return nil end
  return word == "" and ns or ns .. "." .. word, text.suggestion(word, text.sorted_keys(known[ns]))
end

-- Executors -----------------------------------------------------------------------------------------------------------------

local keys_of_kind = { command = { "submit", "status", "cancel", "kill", "collect" },
                       slurm = { "partition", "account", "time", "cpus", "mem", "args" } }

-- What each command can be told of a job, or of several.
local several <const>, none <const> = { ids = true }, {}
local names_of_job = { submit = { script = true, name = true, folder = true }, status = several, cancel = several, kill = several,
                       collect = { id = true, ids = true, script = true, name = true, folder = true } }
local names_of_run <const> = { id = true, args = true }

-- The names in a value of a description that are not there, each with what may have been meant.
local function unknown_names(key, value, given)
  local names, unknown = {}, {}
  for _, word in ipairs(type(value) == "table" and value or { value }) do
    if text.is_template(word) then
      text.add_names(names, word)
      for name in word:gmatch("%${(job%.[^}]*)}") do names[name] = true end
    end
  end
  local known = { job = names_of_job[key] or none, params = given.params or none, secrets = given.secrets or none, run = names_of_run,
                  matrix = none, item = none, steps = none }
  for _, name in ipairs(text.sorted_keys(names)) do
    local missing, meant = schema.unknown_name(name, known)
    if missing then unknown[#unknown + 1] = ("there is no %s%s"):format(missing, meant) end
  end
  return unknown
end

local function problem_of_executor_name(name)
  if name == "local" then return "'local' is this machine; it needs another name" end
  if type(name) ~= "string" or not name:find("^[%a_\x80-\xff][%w_%-%.\x80-\xff]*$") then
    return "an executor's name begins with a letter, and has letters, digits and _-."
  end
end

-- Tells fn(key, problem) all that is wrong with an executor whose values are of the right kinds; key is nil for its name. given: params
-- and secrets.
local function each_problem_of_executor(name, spec, given, fn)
  local problem_of_name = problem_of_executor_name(name)
  if problem_of_name then fn(nil, problem_of_name) end
  if not spec.kind then return fn("kind", "one of command, slurm expected") end
  if spec.kind == "command" and not spec.submit then fn("submit", "a command expected") end
  for _, key in ipairs(keys_of_kind[spec.kind == "slurm" and "command" or "slurm"]) do
    if spec[key] ~= nil then fn(key, ("not for an executor of kind %s"):format(spec.kind)) end
  end
  for _, key in ipairs(text.sorted_keys(spec)) do
    if names_of_job[key] and not spec[key][1] then fn(key, "a program expected") end
    for _, problem in ipairs(unknown_names(key, spec[key], given)) do fn(key, problem) end
  end
end

-- What is wrong with what Lua describes in a section, as far as keys and kinds tell, or nil.
local function problem_of_keys(section, name, spec)
  if type(spec) ~= "table" then return ("%s.%s: a table expected, got %s"):format(section, name, type(spec)) end
  local known = schema.keys[section]
  for _, key in ipairs(text.sorted_keys(spec)) do
    local kind = known[key]
    if not kind then
      return ("%s.%s: unknown key '%s'%s"):format(section, name, key, text.suggestion(tostring(key), text.sorted_keys(known)))
    end
    local ok, expected, allowed = conforms(spec[key], kind)
    if not ok then return ("%s.%s.%s: %s, got %s"):format(section, name, key, expected, got(spec[key], kind, allowed)) end
  end
end

-- What is wrong with executors that Lua describes, or nil. given: the other options.
local function problem_of_executors(executors, given)
  local first
  for _, name in ipairs(text.sorted_keys(executors or {})) do
    local spec = executors[name]
    local of_keys = problem_of_keys("executors", name, spec)
    if of_keys then return of_keys end
    each_problem_of_executor(name, spec, given, function(key, problem)
      first = first or ("executors.%s%s: %s"):format(name, key and "." .. key or "", problem)
    end)
    if first then return first end
  end
end

local option_keys = { executors = "table", pools = "table", params = "table", secrets = "table" }
for key, kind in pairs(pipeline_keys) do option_keys[key] = kind end

-- What is wrong with the options of pipeline.new, or nil.
function schema.problem_of_options(options)
  if type(options) ~= "table" then return ("a table expected, got %s"):format(type(options)) end
  for _, key in ipairs(text.sorted_keys(options)) do
    local kind = option_keys[key]
    if not kind then return ("unknown option '%s'%s"):format(tostring(key), text.suggestion(tostring(key), text.sorted_keys(option_keys))) end
    local ok, expected = conforms(options[key], kind)
    if not ok then return ("%s: %s, got %s"):format(key, expected, got(options[key], kind)) end
  end
  for _, section in ipairs { "params", "secrets" } do
    for _, name in ipairs(text.sorted_keys(options[section] or {})) do
      local problem = problem_of_keys(section, name, options[section][name])
      if problem then return problem end
    end
  end
  for _, name in ipairs(text.sorted_keys(options.params or {})) do
    local key, problem = params.problem_of(name, options.params)
    if key then return ("params.%s.%s: %s"):format(name, key, problem) end
  end
  local of_executors = problem_of_executors(options.executors, options)
  if of_executors then return of_executors end
  for name, size in pairs(options.pools or {}) do
    local good, expected = checks.count(size)
    if not good then return ("pools.%s: %s"):format(name, expected) end
  end
end

function reader:check_params(specs, places)
  local place = within(places, "params")
  for _, name in ipairs(text.sorted_keys(specs)) do
    local key, problem = params.problem_of(name, specs)
    if key then self:complain(within(place, name), key, "params.%s.%s: %s", name, key, problem) end
  end
end

local function names_executor(value) return type(value) == "string" and value ~= "local" and not text.is_template(value) end

-- Executors, and every place that names one.
function reader:check_executors(values, places)
  local place = within(places, "executors")
  local known = by_name(values.executors) and values.executors or {}
  for _, name in ipairs(text.sorted_keys(known)) do
    each_problem_of_executor(name, known[name], values, function(key, problem)
      self:complain(key and within(place, name) or place, key or name, "executors.%s%s: %s", name, key and "." .. key or "", problem)
    end)
  end
  local function check_name(value, at, what)
    if not names_executor(value) or known[value] then return end
    self:complain(at, "executor", "%s: %s", what, text.no_executor(value, known))
  end
  if by_name(values.pipeline) then check_name(values.pipeline.executor, within(places, "pipeline"), "pipeline.executor") end
  for name, step in pairs(by_name(values.steps) and values.steps or {}) do
    local named = type(step) == "table" and step.executor
    if named then check_name(named, within(within(places, "steps"), name), "steps." .. name .. ".executor") end
  end
end

-- Checks a whole file; returns the reader, which has the problems and knows places.
function schema.read(file, values, places)
  local self = setmetatable({ file = file, problems = {}, places = places }, reader)
  self:check(values, places, top_keys, "the file")
  if by_name(values.pipeline) then self:check(values.pipeline, within(places, "pipeline"), pipeline_keys, "pipeline") end
  self:check_section(values, places, "params", param_keys)
  self:check_section(values, places, "secrets", secret_keys)
  self:check_section(values, places, "executors", executor_keys)
  if #self.problems == 0 and values.params then self:check_params(values.params, places) end
  for name, size in pairs(type(values.pools) == "table" and values.pools or {}) do
    local good, expected = checks.count(size)
    if not good then self:complain(within(places, "pools"), name, "pools.%s: %s", name, expected) end
  end
  if #self.problems == 0 then self:check_executors(values, places) end
  self:each_of(values, places, "steps", function(name, step, place) self:check_step(name, step, place) end)
  return self
end

return schema
