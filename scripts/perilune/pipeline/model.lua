-- The step table that TOML and Lua pipelines compile to: a list of steps in order and a map by key. A step is plain data;
-- its templates are replaced when it runs.
--
--   key, name, doc, place     what it is called, and "file:line:column" of it
--   argv | sh | lua | fn      what it does; none: it stands for those it needs
--   needs, after              lists of keys
--   matrix                    its values, of one expanded from a matrix
local expression = require "perilune.pipeline.expression"
local text = require "perilune.pipeline.text"

local model = {}

local function as_list(value)
  if type(value) == "string" then return { value } end
  return value or {}
end

local function read_backoff(backoff)
  if type(backoff) == "table" then return text.duration(backoff[1]), text.duration(backoff[2] or backoff[1]) end
  if type(backoff) == "string" and backoff:find("..", 1, true) then
    local first, last = backoff:match("^(.-)%.%.(.+)$")
    return text.duration(first), text.duration(last)
  end
  local same = text.duration(backoff or 1)
  return same, same and math.max(same, 60)
end

local function read_retry(retry, key)
  if retry == nil then return nil end
  if type(retry) == "number" then retry = { attempts = retry } end
  if type(retry) ~= "table" then text.refuse(3, "step '%s': retry is a number of attempts or a table", key) end
  local first, last = read_backoff(retry.backoff)
  if not first or not last then text.refuse(3, "step '%s': retry.backoff is like \"1s..30s\"", key) end
  return { attempts = retry.attempts or 3, first = first, last = last, factor = retry.factor or 2, jitter = retry.jitter or 0,
           on = retry.on and as_list(retry.on) }
end

-- A step from what a file or ctx:step says.
function model.make_step(key, name, spec, place)
  local step = {
    key = key, name = name, place = place, doc = spec.doc, argv = spec.argv, sh = spec.sh, lua = spec.lua, fn = spec.fn,
    needs = { table.unpack(as_list(spec.needs)) }, after = { table.unpack(as_list(spec.after)) }, when = spec.when or "success",
    env = spec.env or {}, cwd = spec.cwd, inputs = as_list(spec.inputs), outputs = as_list(spec.outputs), pool = spec.pool,
    timeout = spec.timeout and text.duration(spec.timeout), grace = spec.grace and text.duration(spec.grace),
    retry = read_retry(spec.retry, key), collect = spec.fail == "collect", effect = spec.effect, capture = spec.capture,
    each = spec.each, limit = spec.limit, interactive = spec.interactive, matrix = spec.matrix_values, item = spec.item,
    finally = spec.finally,
  }
  if spec["if"] then
    local ok, compiled = pcall(expression.compile, spec["if"])
    if not ok then text.refuse(3, "%s: if: %s", place or key, tostring(compiled)) end
    step.condition, step.condition_text = compiled, spec["if"]
  end
  return step
end

local function matches(values, exclusion)
  for name, value in pairs(exclusion) do
    if tostring(values[name]) ~= tostring(value) then return false end
  end
  return next(exclusion) ~= nil
end

-- All combinations of a matrix, in the order of its names; each with its part of the key.
local function combinations(matrix)
  local rows = { {} }
  local names = {}
  for _, name in ipairs(text.sorted_keys(matrix)) do
    if name ~= "exclude" then
      names[#names + 1] = name
      local wider = {}
      for _, row in ipairs(rows) do
        for _, value in ipairs(as_list(matrix[name])) do
          local copy = { [name] = value }
          for k, v in pairs(row) do copy[k] = v end
          wider[#wider + 1] = copy
        end
      end
      rows = wider
    end
  end
  local kept = {}
  for _, row in ipairs(rows) do
    local excluded = false
    for _, exclusion in ipairs(matrix.exclude or {}) do excluded = excluded or matches(row, exclusion) end
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

function model.new(settings)
  return setmetatable({ steps = {}, by_key = {}, settings = settings or {}, pools = {} }, table_type)
end

function table_type:add(step)
  local known = self.by_key[step.key]
  if known then text.refuse(3, "%s: there is a step '%s' already, at %s", step.place or "?", step.key, known.place or "?") end
  self.by_key[step.key] = step
  self.steps[#self.steps + 1] = step
  return step
end

-- A step with a matrix becomes one for each row, and one by its name that needs them all.
function table_type:add_spec(name, spec, place)
  if not spec.matrix then return self:add(model.make_step(name, name, spec, place)) end
  local keys = {}
  local rows, names = combinations(spec.matrix)
  for i, row in ipairs(rows) do
    local one = setmetatable({ matrix_values = row }, { __index = spec })
    keys[i] = matrix_key(name, row, names)
    self:add(model.make_step(keys[i], name, one, place))
  end
  return self:add(model.make_step(name, name, { doc = spec.doc, needs = keys, when = spec.when }, place)), rows
end

function table_type:check_references(problems)
  local keys = text.sorted_keys(self.by_key)
  for _, step in ipairs(self.steps) do
    for _, list in ipairs { step.needs, step.after } do
      for _, key in ipairs(list) do
        if not self.by_key[key] then
          problems[#problems + 1] = ("%s: step '%s' needs '%s', which does not exist%s"):format(step.place or "?", step.key, key,
            text.suggestion(key, keys))
        end
      end
    end
    if step.pool and not self.pools[step.pool] then
      problems[#problems + 1] = ("%s: step '%s': there is no pool '%s'%s"):format(step.place or "?", step.key, step.pool,
        text.suggestion(step.pool, text.sorted_keys(self.pools)))
    end
  end
end

local function dependencies(step)
  local all = { table.unpack(step.needs) }
  for _, key in ipairs(step.after) do all[#all + 1] = key end
  return all
end
model.dependencies = dependencies

-- One cycle as "a -> b -> a", or nil. Without recursion, for graphs of any depth.
function table_type:cycle()
  local done = {}
  for _, root in ipairs(self.steps) do
    local path, on_path = {}, {}
    local function enter(key)
      path[#path + 1] = { key = key, next = dependencies(self.by_key[key]), at = 0 }
      on_path[key] = #path
    end
    if not done[root.key] then enter(root.key) end
    while #path > 0 do
      local top = path[#path]
      top.at = top.at + 1
      local key = top.next[top.at]
      if key == nil then
        done[top.key], on_path[top.key], path[#path] = true, nil, nil
      elseif on_path[key] then
        local names = {}
        for i = on_path[key], #path do names[#names + 1] = path[i].key end
        names[#names + 1] = key
        return table.concat(names, " -> "), self.by_key[key].place
      elseif not done[key] and self.by_key[key] then
        enter(key)
      end
    end
  end
end

-- The set of keys that the targets need, with what stands after or finally runs when one of them does.
function table_type:closure(targets)
  local wanted, queue = {}, {}
  local function want(key)
    if not wanted[key] then
      wanted[key] = true
      queue[#queue + 1] = key
    end
  end
  for _, key in ipairs(targets) do want(key) end
  while #queue > 0 do
    for _, key in ipairs(self.by_key[table.remove(queue)].needs) do want(key) end
  end
  return wanted
end

return model
