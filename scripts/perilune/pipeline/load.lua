-- From a pipeline file to the step table. Every problem of a file is told at once, each with its place.
local fs = require "perilune.fs"
local early = require "perilune.pipeline.early"
local model = require "perilune.pipeline.model"
local modules = require "perilune.pipeline.modules"
local params = require "perilune.pipeline.params"
local schema = require "perilune.pipeline.schema"
local system = require "perilune.native.system"
local text = require "perilune.pipeline.text"
local toml = require "perilune.toml"

local load_file = {}

local names_searched = { "perilune.toml", "perilune.lua" }

-- The pipeline file of `folder`, or of the nearest folder above; with `maybe` nil where there is none, which is refused otherwise.
function load_file.find(folder, maybe)
  local at = fs.real_path(folder)
  while true do
    for _, name in ipairs(names_searched) do
      local path = (at == "/" and "" or at) .. "/" .. name
      if fs.exists(path) then return path end
    end
    if at == "/" and maybe then return nil end
    if at == "/" then text.refuse(2, "no perilune.toml or perilune.lua here or above; perilune init makes one") end
    at = at:match("^(.*)/[^/]*$")
    if at == "" then at = "/" end
  end
end

local function as_list(value) return type(value) == "string" and { value } or value or {} end

local known_of_runs <const> = { id = true, status = true, args = true }

-- Calls complain(problem) for each of the names that a step mentions and that is not there. given: {params, secrets}. A condition may
-- ask whether something is there: with `mistyped` only that is refused which is nearly something that is.
local function look_for_names(given, matrix, names, mistyped, complain)
  local known = { params = given.params or {}, secrets = given.secrets or {}, matrix = matrix or {}, run = known_of_runs }
  for _, full in ipairs(names) do
    local missing, meant = schema.unknown_name(full, known)
    if missing and not (mistyped and meant == "") then complain(("there is no %s%s"):format(missing, meant)) end
  end
end

local function check_names(reader, values, name, spec, place, key, names, mistyped)
  look_for_names(values, spec.matrix, names, mistyped, function(problem) reader:complain(place, key, "steps.%s.%s: %s", name, key, problem) end)
end

-- The same of a pipeline that Lua has made.
local function check_names_of_steps(pipeline, problems)
  for _, step in ipairs(pipeline.steps) do
    local function complain(problem) problems[#problems + 1] = ("%s: step '%s': %s"):format(step.place, step.key, problem) end
    if #step.names > 0 then look_for_names(pipeline, step.matrix, step.names, false, complain) end
    if step.condition_names then look_for_names(pipeline, step.matrix, step.condition_names, true, complain) end
  end
end

local function check_template(reader, values, name, spec, place, key, template)
  local wrong, meant = text.mistyped_name(template)
  if wrong then reader:complain(place, key, "steps.%s.%s: there is no ${%s}; did you mean '${%s}'?", name, key, wrong, meant) end
  local names = {}
  text.add_names(names, template)
  check_names(reader, values, name, spec, place, key, text.sorted_keys(names))
end

-- Calls fn with every template in a value.
local function each_template(value, fn)
  if text.is_template(value) then return fn(value) end
  if type(value) ~= "table" then return end
  for _, key in ipairs(text.sorted_keys(value)) do each_template(value[key], fn) end
end

local function check_templates(reader, values, name, spec, place)
  for key, value in pairs(spec) do
    each_template(value, function(template) check_template(reader, values, name, spec, place, key, template) end)
  end
end

-- What [pipeline] names is not there for all steps, and that of no step; where it stands for each of them, cwd may name what is each one's.
local no_step <const>, of_each <const> = { matrix = {}, item = {}, steps = {} }, {}

local function check_settings(reader, values, places)
  for key, value in pairs(values.pipeline or {}) do
    local known = setmetatable({ params = values.params or {}, secrets = values.secrets or {}, run = known_of_runs },
                               { __index = key == "cwd" and of_each or no_step })
    each_template(value, function(template)
      local names = {}
      text.add_names(names, template)
      for _, full in ipairs(text.sorted_keys(names)) do
        local missing, meant = schema.unknown_name(full, known)
        if missing then reader:complain(places.within.pipeline, key, "pipeline.%s: there is no %s%s", key, missing, meant) end
      end
    end)
  end
end

-- Names in the order of the file. Many are sorted as numbers, the position above the place in the list.
local function in_order(steps, places)
  local at, names, order = places and places.keys or {}, {}, {}
  for name in pairs(steps) do
    names[#names + 1] = name
    order[#names] = at[name] << 20 | #names
  end
  table.sort(order)
  for i, both in ipairs(order) do order[i] = names[both & 0xfffff] end
  return order
end

-- In the order of their places; those of one place, and those without, as they came.
local function refuse_all(problems)
  if #problems == 0 then return end
  local sorted = {}
  for i, problem in ipairs(problems) do
    local line, column = problem:match("^[^\n]-:(%d+):(%d+): ")
    sorted[i] = { at = line and tonumber(line) << 16 | tonumber(column) or 0, i = i, problem = problem }
  end
  table.sort(sorted, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.i < b.i
  end)
  for i, one in ipairs(sorted) do problems[i] = one.problem end
  text.refuse(3, "%s", table.concat(problems, "\n"))
end

local function add_step(pipeline, reader, values, name, spec, places)
  local function place() return places and places.within and places.within[name] end
  if not pipeline.plain then check_templates(reader, values, name, spec, place) end
  local ok, made = pcall(pipeline.add_spec, pipeline, name, spec, reader:where(places, name))
  if not ok then
    if not text.is_problem(made) or made.code ~= 3 then error(made, 0) end
    local key = made.message:match("^(%a+)[.:]") -- "retry.on: ..." is about a key of the step
    if key and place() and place().keys[key] then return reader:complain(place, key, "steps.%s: %s", name, made.message) end
    return reader:complain(places, name, "steps.%s: %s", name, made.message)
  end
  local one = made.members and pipeline.by_key[made.members[1]] or made
  if one.condition_names then check_names(reader, values, name, spec, place, "if", one.condition_names, true) end
end

local function fill(pipeline, reader, values, places)
  local step_places = places and places.within and places.within.steps
  for _, name in ipairs(in_order(values.steps or {}, step_places)) do
    add_step(pipeline, reader, values, name, values.steps[name], step_places)
  end
end

-- where(step, key): the place of a key of a step in a file that has such places, or nil.
function load_file.check_graph(pipeline, problems, where)
  pipeline:check_references(function(step, key, message)
    problems[#problems + 1] = ("%s: %s"):format(where and where(step, key) or step.place or "?", message)
  end)
  for _, name in ipairs(pipeline.settings.default or {}) do
    if not pipeline.by_key[name] then
      problems[#problems + 1] = ("%s: pipeline.default: there is no step '%s'%s"):format(pipeline.default_place or pipeline.file, name,
        text.suggestion(name, text.sorted_keys(pipeline.by_key)))
    end
  end
  if #problems == 0 then
    local cycle, place = pipeline:cycle()
    if cycle then problems[#problems + 1] = (place or "?") .. ": a cycle: " .. cycle end
  end
  refuse_all(problems)
end

local large <const> = 256 * 1024 -- bytes of a text
local memory_of_text <const> = 64 -- what a run takes, as a multiple of its size

-- Reads a TOML text that calls itself `shown`; `folder` is where its steps run.
function load_file.toml(source, shown, folder, told)
  if #source > large then system.expect_memory(memory_of_text * #source) end
  local values, places = toml.decode_(source)
  if not values then text.refuse(3, "%s:%s", shown, places) end
  local reader = schema.read(shown, values, places)
  refuse_all(reader.problems)
  local pipeline = model.new(values.pipeline)
  pipeline.plain = not text.is_template(source) and not source:find("\\", 1, true)
  pipeline.settings.default = values.pipeline and values.pipeline.default and as_list(values.pipeline.default)
  pipeline.settings.dotenv = as_list(pipeline.settings.dotenv)
  pipeline.params, pipeline.secrets, pipeline.pools = values.params or {}, values.secrets or {}, values.pools or {}
  pipeline.executors = values.executors or {}
  pipeline.name, pipeline.file, pipeline.folder = pipeline.settings.name or folder:match("[^/]*$"), shown, folder
  pipeline.default_place = reader:where(places.within and places.within.pipeline, "default")
  pipeline.early_names = early.names(pipeline, told or {})
  if not pipeline.plain then
    check_settings(reader, values, places)
    refuse_all(reader.problems)
    early.expand(pipeline, told or {}, function(section, name, key)
      local place = places.within and places.within[section]
      return key and reader:where(place and place.within and place.within[name], key) or reader:where(place, name)
    end)
  end
  pipeline.read_again = function(told_now) return load_file.toml(source, shown, folder, told_now) end
  fill(pipeline, reader, values, places)
  local step_places = places.within and places.within.steps
  load_file.check_graph(pipeline, reader.problems, function(step, key)
    local place = step_places and step_places.within and step_places.within[step.name]
    return place and place.keys[key] and reader:where(place, key)
  end)
  return pipeline
end

-- A Lua text that says of itself that it makes a pipeline; whether it does turns out when it has run.
function load_file.mentions_pipelines(source)
  return source:find("perilune%.pipeline[\"']") ~= nil or source:find(".pipeline.new", 1, true) ~= nil
end

-- A first line that says by whom a file is run is no part of it.
local function without_first_line(source) return (source:gsub("^#[^\n]*", "")) end

-- What a Lua text returns. The program's words stand in arg, modules beside the file are found.
function load_file.lua_chunk(source, shown, folder, words)
  local chunk, problem = load(without_first_line(source), shown == "stdin" and "=stdin" or "@" .. shown, "t")
  if not chunk then text.refuse(3, "%s", problem) end
  arg = { [0] = shown, table.unpack(words or {}) }
  modules.search(folder)
  return chunk
end

local function first_problem(problem)
  if type(problem) == "userdata" and problem.kind == "error" and type(problem.value) == "string" then return problem.value end
  return tostring(problem)
end

-- Nobody writes a pipeline to have nothing of it run.
local function warn_of_unreturned()
  local at = package.loaded["perilune.pipeline"] and package.loaded["perilune.pipeline"].made_at_
  if at then io.stderr:write(("perilune: %s: nothing of the pipeline made here runs: the file has to return it\n"):format(at)) end
end

-- The pipeline that a Lua text makes, or nil and what it returned instead.
function load_file.lua(source, shown, folder, words, told)
  early.made_in = { folder = folder, told = told or {} }
  local ok, made = pcall(load_file.lua_chunk(source, shown, folder, words), table.unpack(words or {}))
  if not ok then
    if text.is_problem(made) then error(made, 0) end
    text.refuse(3, "%s", first_problem(made))
  end
  if made == nil then warn_of_unreturned() end
  if type(made) ~= "table" or not made.table_ then return nil, made end
  made.table_.file, made.table_.folder = shown, folder
  made.table_.read_again = function(told_now) return load_file.lua(source, shown, folder, words, told_now) end
  early.expand(made.table_, told or {}, function() return made.table_.default_place end)
  local problems = {}
  check_names_of_steps(made.table_, problems)
  load_file.check_graph(made.table_, problems)
  return made.table_
end

local sections <const> = { pipeline = true, params = true, secrets = true, pools = true, executors = true, steps = true }

-- The first line that says anything tells: no Lua text begins with a bracket, and TOML with little else. A text that says
-- nothing is a pipeline without steps.
function load_file.is_toml(source)
  for line in source:gmatch("[^\n]+") do
    local name = line:match("^%s*([%a_]+)%s*[%.=]")
    if line:match("^%s*[^#%s]") then return line:match("^%s*%[") ~= nil or sections[name] == true end
  end
  return true
end

-- Whether a text may be a pipeline and no plain script.
function load_file.holds_pipeline(source, shown)
  return load_file.mentions_pipelines(source) or not shown:match("%.lua$") and load_file.is_toml(source)
end

function load_file.folder_of(path)
  local folder = fs.real_path(path):match("^(.*)/[^/]*$")
  return folder == "" and "/" or folder
end

-- The pipeline of a text of either kind; nil and what it returned where Lua made none.
function load_file.text(source, shown, folder, words, told)
  if shown:match("%.toml$") or not shown:match("%.lua$") and load_file.is_toml(source) then
    return load_file.toml(source, shown, folder, told)
  end
  return load_file.lua(source, shown, folder, words, told)
end

-- What stands in a file; who cannot read it is told why.
function load_file.source(path, shown)
  local ok, source = pcall(fs.read, path)
  if ok then return source end
  local why = tostring(type(source) == "userdata" and source.message or source):match(": ([^:\n]+)$")
  text.refuse(2, "cannot open %s%s", shown or path, why and ": " .. why or "")
end

function load_file.read(path, shown, told)
  return load_file.text(load_file.source(path, shown), shown or path, load_file.folder_of(path), nil, told)
end

return load_file
