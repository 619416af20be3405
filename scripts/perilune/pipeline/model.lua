-- The step table that TOML and Lua pipelines compile to: a list of steps in order and a map by key. A step is plain data;
-- its templates are replaced when it runs. Lists in it may be shared between steps and are never changed.
--
--   key, name, doc, place     what it is called, and "file:line:column" of it
--   argv | sh | lua | fn      what it does; none: it stands for those it needs
--   make                      a function of (ctx, run) that says at run time what it does
--   needs, after              lists of keys
--   members                   of one that stands for the rows of its matrix: their keys, which are its needs too
--   matrix, item              its values, of one expanded from a matrix or a fan-out
--   names                     what its templates mention: "params.version", "item", ...
local json = require "perilune.json"
local expression = require "perilune.pipeline.expression"
local retry = require "perilune.pipeline.retry"
local text = require "perilune.pipeline.text"

local model = {}

local none <const> = json.array {}
local no_variables <const> = {}

local function as_list(value)
  if type(value) == "string" then return { value } end
  return value or none
end

local template_fields <const> = { "sh", "cwd", "lua" }
local template_lists <const> = { "argv", "env", "inputs", "outputs" }

-- Adds what a value mentions to a set, which is made when it is needed.
local function add_names(found, value)
  if not text.is_template(value) then return found end
  found = found or {}
  text.add_names(found, value)
  return found
end

-- What the templates of a step mention, in order.
local function names_of(spec)
  local found
  for _, field in ipairs(template_fields) do found = add_names(found, spec[field]) end
  for _, field in ipairs(template_lists) do
    local list = spec[field]
    if type(list) == "table" then
      for _, item in pairs(list) do found = add_names(found, item) end
    else
      found = add_names(found, list)
    end
  end
  return found and text.sorted_keys(found) or none
end

-- With templates it is known only when they are replaced.
local function condition_of_template(condition)
  return function(scope) return expression.compile(text.expand(condition, scope))(scope) end
end

local function compile_condition(step, condition)
  step.condition_text = condition
  if text.is_template(condition) then
    step.condition = condition_of_template(condition)
    return
  end
  local ok, compiled, names = pcall(expression.compile, condition)
  if not ok then text.refuse(3, "if: %s", tostring(compiled)) end
  step.condition, step.condition_names = compiled, names
end

-- Whether the condition of a fan-out is one of its items.
local function names_item(step)
  if text.is_template(step.condition_text) then return step.condition_text:find("${item", 1, true) ~= nil end
  for _, name in ipairs(step.condition_names) do
    if name:match("^item%f[^%w]") then return true end
  end
  return false
end

-- What decides how steps hang together has its templates replaced before the step is made, by what is known then.
local early_fields <const> = { "pool", "timeout", "grace", "executor", "limit" }
local early_kinds <const> = { timeout = "duration", grace = "duration", limit = "count" }
local early_lists <const> = { "needs", "after" }

local function expand_items(list, names)
  local out
  for i, item in ipairs(list) do
    if text.is_template(item) then
      out = out or table.move(list, 1, #list, 1, {})
      out[i] = text.expand(item, names)
    end
  end
  return out
end

-- The value of a field with its names replaced; false where it is not known yet (see early.lua), and there is nothing to be left of it.
local function early_value(field, template, names)
  local word, kind = text.expand(template, names), early_kinds[field]
  if not kind then return word end
  if text.has_blank(word, names.blanks or none) then return false end
  return text[kind](word) or text.refuse(3, "%s: %s expected, got '%s'", field, text.expected[kind], word)
end

-- The same description, or one with names replaced. names: {matrix, params, env, ...}.
function model.with_names(spec, names)
  local changed
  local function change(field, value)
    changed = changed or setmetatable({}, { __index = spec })
    changed[field] = value
  end
  for _, field in ipairs(early_fields) do
    local value = spec[field]
    if text.is_template(value) then change(field, early_value(field, value, names)) end
  end
  if text.has_template(spec.retry) then change("retry", retry.with_names(spec.retry, names, names.blanks or none)) end
  if text.is_template(spec.doc) then
    local ok, doc = pcall(text.expand, spec.doc, names) -- it may name what only a run knows
    if ok then change("doc", doc) end
  end
  for _, field in ipairs(early_lists) do
    local list = spec[field] and expand_items(as_list(spec[field]), names)
    if list then change(field, list) end
  end
  return changed or spec
end

-- "checks.lua:coverage" -> the file and the function.
function model.lua_reference(reference)
  local path, name = reference:match("^(.+):([%w_]+)$")
  if not path then text.refuse(3, "lua: \"FILE:FUNCTION\" expected, got '%s'", reference) end
  return path, name
end

-- A step from what a file or ctx:step says; `plain`: no templates are in it. Raises a problem without a place.
function model.make_step(key, name, spec, place, plain)
  local step = {
    key = key, name = name, place = place, doc = spec.doc, argv = spec.argv, sh = spec.sh, lua = spec.lua, fn = spec.fn,
    make = spec.make, needs = as_list(spec.needs), after = as_list(spec.after), when = spec.when or "success",
    env = spec.env or no_variables, cwd = spec.cwd, inputs = as_list(spec.inputs), outputs = as_list(spec.outputs), pool = spec.pool, executor = spec.executor,
    timeout = spec.timeout and text.duration(spec.timeout) or nil, grace = spec.grace and text.duration(spec.grace) or nil,
    retry = retry.read(spec.retry), collect = spec.fail == "collect", effect = spec.effect, capture = spec.capture,
    each = spec.each, limit = spec.limit or nil, interactive = spec.interactive, matrix = spec.matrix_values,
    finally = spec.finally, names = plain and none or names_of(spec),
  }
  if step.lua and not text.is_template(step.lua) then model.lua_reference(step.lua) end
  if spec["if"] then
    compile_condition(step, spec["if"])
    step.judges_items = step.each and names_item(step) or nil
  end
  return step
end

local function matches(values, exclusion)
  for name, value in pairs(exclusion) do
    if tostring(values[name]) ~= tostring(value) then return false end
  end
  return next(exclusion) ~= nil
end

local function check_exclusion(exclusion, names)
  if type(exclusion) ~= "table" then text.refuse(3, "matrix.exclude: a list of tables expected") end
  for name in pairs(exclusion) do
    local known = false
    for _, one in ipairs(names) do known = known or one == name end
    if not known then text.refuse(3, "matrix.exclude: there is no matrix.%s%s", tostring(name), text.suggestion(tostring(name), names)) end
  end
end

local function check_values(name, values)
  if type(values) ~= "table" then text.refuse(3, "matrix.%s: a list expected, got %s", name, type(values)) end
  for _, value in ipairs(values) do
    if type(value) == "table" then text.refuse(3, "matrix.%s: single values expected, got a table%s", name, text.suggestion(name, { "exclude" })) end
  end
end

local function matrix_names(matrix)
  local names = {}
  for _, name in ipairs(text.sorted_keys(matrix)) do
    if name ~= "exclude" then
      names[#names + 1] = name
      check_values(name, matrix[name])
    end
  end
  return names
end

local function expanded(value, names) return text.is_template(value) and text.expand(value, names) or value end

-- All combinations of a matrix, in the order of its names. early: what its values may name.
local function combinations(matrix, early)
  local rows, names = { {} }, matrix_names(matrix)
  for _, name in ipairs(names) do
    local wider = {}
    for _, row in ipairs(rows) do
      for _, value in ipairs(matrix[name]) do
        local copy = { [name] = expanded(value, early) }
        for k, v in pairs(row) do copy[k] = v end
        wider[#wider + 1] = copy
      end
    end
    rows = wider
  end
  local exclusions = {}
  for i, exclusion in ipairs(matrix.exclude or none) do
    check_exclusion(exclusion, names)
    exclusions[i] = text.has_template(exclusion) and text.expand_within(exclusion, early) or exclusion
  end
  local kept = {}
  for _, row in ipairs(rows) do
    local excluded = false
    for _, exclusion in ipairs(exclusions) do excluded = excluded or matches(row, exclusion) end
    if not excluded then kept[#kept + 1] = row end
  end
  return kept, names
end

local function matrix_key(name, row, names)
  local parts = {}
  for i, n in ipairs(names) do parts[i] = n .. "=" .. tostring(row[n]) end
  return name .. "[" .. table.concat(parts, ",") .. "]"
end

local table_type = {}
table_type.__index = table_type

-- plain: its text has no templates at all, so that nobody need look for them.
function model.new(settings)
  return setmetatable({ steps = {}, plain = false, by_key = {}, settings = settings or {}, pools = {}, executors = {}, params = {}, secrets = {}, wanted_items = {} }, table_type)
end

-- What stands for names that are not known yet, as far as anybody has asked.
function table_type:blanks() return self.early_names and rawget(self.early_names, "blanks") or none end

-- Where its command runs: false is this machine, where functions and what has the terminal always run.
function table_type:place_on_executor(step)
  local named = step.executor
  local why = step.interactive and "what has the terminal runs here" or (step.fn or step.lua) and "a Lua function runs here, only commands elsewhere"
    or not step.argv and not step.sh and "there is no command to be run elsewhere"
  if named and named ~= "local" and why then text.refuse(3, "executor: %s", why) end
  if named == nil and not why then named = self.settings.executor end
  step.executor = named and named ~= "local" and not text.has_blank(named, self:blanks()) and named or false
  if step.executor and not self.executors[step.executor] then
    text.refuse(3, "executor: %s", text.no_executor(step.executor, self.executors))
  end
  return step
end

function table_type:add(step)
  self:place_on_executor(step)
  local known = self.by_key[step.key]
  if known then text.refuse(3, "there is a step '%s' already, at %s", step.key, known.place or "?") end
  self.by_key[step.key] = step
  self.steps[#self.steps + 1] = step
  return step
end

-- A step with a matrix becomes one for each row, and one by its name that stands for them all.
function table_type:add_spec(name, spec, place)
  local early = self.early_names or {}
  if not spec.matrix then
    local one = self.plain and spec or model.with_names(spec, early)
    return self:add(model.make_step(name, name, one, place, self.plain))
  end
  local keys = {}
  local rows, names = combinations(spec.matrix, early)
  for i, row in ipairs(rows) do
    local one = setmetatable({ matrix_values = row }, { __index = spec })
    one = model.with_names(one, setmetatable({ matrix = row }, { __index = early }))
    keys[i] = matrix_key(name, row, names)
    self:add(model.make_step(keys[i], name, one, place))
  end
  local whole = model.make_step(name, name, { doc = not text.is_template(spec.doc) and spec.doc or nil, needs = keys, fail = spec.fail }, place)
  whole.members = keys
  return self:add(whole)
end

local function check_keys(self, step, field, relation, complain)
  local keys = step[field]
  for i = 1, #keys do
    local key = keys[i]
    if not self.by_key[key] then
      self.known_keys = self.known_keys or text.sorted_keys(self.by_key)
      complain(step, field, ("step '%s' %s '%s', which does not exist%s"):format(step.key, relation, key, text.suggestion(key, self.known_keys)))
    end
  end
end

-- Calls complain(step, field, message) for all that a step names and that is not there.
local function check_step_references(self, step, complain)
  check_keys(self, step, "needs", "needs", complain)
  check_keys(self, step, "after", "stands after", complain)
  if step.pool and not self.pools[step.pool] then
    complain(step, "pool", ("step '%s': there is no pool '%s'%s"):format(step.key, step.pool,
      text.suggestion(step.pool, text.sorted_keys(self.pools))))
  end
end

-- The first thing that a step which is added to a run names and that is not there, or nil.
function table_type:missing_reference(step)
  local first
  self.known_keys = nil
  check_step_references(self, step, function(_, _, message) first = first or message end)
  self.known_keys = nil
  return first
end

local function without_blanks(list, blanks)
  local kept = {}
  for _, key in ipairs(list) do
    if not text.has_blank(key, blanks) then kept[#kept + 1] = key end
  end
  return #kept == #list and list or kept
end

-- What only a parameter that was not given says is left out: who looks at the pipeline is told of the rest.
local function leave_out_blanks(self)
  local blanks = self:blanks()
  if #blanks == 0 then return end
  for _, step in ipairs(self.steps) do
    step.needs, step.after = without_blanks(step.needs, blanks), without_blanks(step.after, blanks)
    if step.pool and text.has_blank(step.pool, blanks) then step.pool = nil end
  end
end

function table_type:check_references(complain)
  leave_out_blanks(self)
  for _, step in ipairs(self.steps) do check_step_references(self, step, complain) end
  self.known_keys = nil
end

-- What must be over before a step is looked at.
function model.dependencies(step)
  if #step.after == 0 then return step.needs end
  if #step.needs == 0 then return step.after end
  local all = { table.unpack(step.needs) }
  for _, key in ipairs(step.after) do all[#all + 1] = key end
  return all
end
local dependencies = model.dependencies

-- One cycle as "a -> b -> a", or nil. Without recursion, for graphs of any depth.
function table_type:cycle()
  local done, by_key = {}, self.by_key
  local keys, lists, at, on_path = {}, {}, {}, {} -- the path from a root, level by level
  local depth = 0
  local function enter(key)
    depth = depth + 1
    keys[depth], lists[depth], at[depth], on_path[key] = key, dependencies(by_key[key]), 0, depth
  end
  for _, root in ipairs(self.steps) do
    if not done[root.key] then enter(root.key) end
    while depth > 0 do
      at[depth] = at[depth] + 1
      local key = lists[depth][at[depth]]
      if key == nil then
        done[keys[depth]], on_path[keys[depth]] = true, nil
        depth = depth - 1
      elseif on_path[key] then
        return table.concat(keys, " -> ", on_path[key], depth) .. " -> " .. key, by_key[key].place
      elseif not done[key] then
        enter(key)
      end
    end
  end
end

return model
