-- What is known of a pipeline before a run: parameters and variables. What decides how steps hang together asks for it when a file is
-- read, and so does all that stands outside of steps.
local params = require "perilune.pipeline.params"
local text = require "perilune.pipeline.text"

local early = {}

-- `told` are the values of flags. Whether anybody has asked stands in `pipeline.asked_early`: then another run, told otherwise, may be
-- of another graph. `blanks` is what stands for required parameters that were not given: who only looks is told of the rest.
function early.names(pipeline, told)
  return setmetatable({}, { __index = function(self, ns)
    pipeline.asked_early = true
    if ns == "params" or ns == "blanks" then
      self.params = params.read(pipeline.params, params.given(told.param), told["params-file"], self.env, true)
      self.blanks = params.blanks(pipeline.params, self.params)
    elseif ns == "env" then
      self.env = params.environment(pipeline.settings, pipeline.folder, told["env-file"])
    end
    return rawget(self, ns)
  end })
end

-- Where the Lua file is that is being run, and what it was told; see load.lua.
early.made_in = nil

-- The names of a pipeline that Lua is about to make: none in a script that nobody has started as a pipeline.
function early.names_in_lua(pipeline)
  if not early.made_in then return nil end
  pipeline.folder = early.made_in.folder
  return early.names(pipeline, early.made_in.told)
end

-- Places of keys: where(section, name, key), key being nil where the section has values and no tables.
local expansion = {}
expansion.__index = expansion

-- What a template says, or nil where it is blank.
function expansion:word(template, names, section, name, key)
  local ok, word = pcall(text.expand, template, names)
  local full = table.concat({ section, name, key }, ".")
  if not ok then
    if not text.is_problem(word) or word.code ~= 3 then error(word, 0) end
    text.refuse(3, "%s: %s: %s", self.where(section, name, key), full, word.message)
  end
  return (word == template or not text.has_blank(word, names.blanks)) and word or nil
end

function expansion:words(list, names, section, name)
  local out = {}
  for _, template in ipairs(list or {}) do out[#out + 1] = self:word(template, names, section, name) end
  return list and out
end

-- The value of map[at] as what it has to be; left out where it is blank.
function expansion:convert(map, at, kind, section, name, key)
  if not text.is_template(map[at]) then return end
  local word = self:word(map[at], self.names, section, name, key)
  local value = word and text[kind](word)
  if word and not value then
    text.refuse(3, "%s: %s: %s expected, got '%s'", self.where(section, name, key), table.concat({ section, name, key }, "."), text.expected[kind], word)
  end
  map[at] = value
end

function expansion:executor_of_all(settings, executors)
  if not text.is_template(settings.executor) then return end
  local value = self:word(settings.executor, self.names, "pipeline", "executor")
  if value and value ~= "local" and not executors[value] then
    text.refuse(3, "%s: pipeline.executor: %s", self.where("pipeline", "executor"), text.no_executor(value, executors))
  end
  settings.executor = value
end

local of_pipeline <const> = { timeout = "duration", grace = "duration", jobs = "count" }
local of_executor <const> = { jobs = "count", cpus = "count", poll = "duration" }

-- Replaces names in what stands outside of steps by what is known before a run; what only a parameter that was not given says is left out.
-- The environment that files of variables are named by is the one without them.
function early.expand(pipeline, told, where)
  local settings, self = pipeline.settings, setmetatable({ names = pipeline.early_names, where = where }, expansion)
  local files = settings.dotenv
  settings.dotenv = {}
  settings.dotenv = self:words(files, early.names(pipeline, told), "pipeline", "dotenv")
  settings.default = self:words(settings.default, self.names, "pipeline", "default")
  for key, kind in pairs(of_pipeline) do self:convert(settings, key, kind, "pipeline", key) end
  if text.is_template(settings.name) then pipeline.name = self:word(settings.name, self.names, "pipeline", "name") or pipeline.name end
  self:executor_of_all(settings, pipeline.executors)
  for name in pairs(pipeline.pools) do
    self:convert(pipeline.pools, name, "count", "pools", name)
    pipeline.pools[name] = pipeline.pools[name] or 1
  end
  for name, spec in pairs(pipeline.executors) do
    for key, kind in pairs(of_executor) do self:convert(spec, key, kind, "executors", name, key) end
  end
end

return early
