-- `each`: a step for every item of a list that is known only when the run is there. An empty list is a success.
local peri = require "perilune"
local json = require "perilune.json"
local model = require "perilune.pipeline.model"
local text = require "perilune.pipeline.text"

local fan_out = {}

-- Lines as items: an empty one is none.
local function items_of_lines(lines)
  local items = {}
  for _, line in ipairs(lines) do
    if line ~= "" then items[#items + 1] = line end
  end
  return items
end

local function lines_or_json(output)
  local value = json.decode(output)
  if type(value) == "table" then return value end
  local items = {}
  for line in output:gmatch("[^\n]+") do items[#items + 1] = line end
  return items
end

-- A list that is no more than the name of a parameter or the like.
local function value_of_name(run, step, template) return lines_or_json(text.expand(template, run:scope_of(step))) end

local function value_of_step(run, step, reference)
  local key = reference:match("^%${steps%.(.+)%.value}$") or reference:match("^steps%.(.+)%.value$") or reference
  if text.is_template(key) then return value_of_name(run, step, key) end
  local of, maker = run.outcomes[key], run.pipeline.by_key[key]
  if not of then error(("each: there is no step '%s' before this one"):format(key), 0) end
  local value = of.value
  if type(value) == "string" then value = lines_or_json(value) end
  if type(value) ~= "table" then error(("each: step '%s' has no list as its value; give it capture = \"json\""):format(key), 0) end
  return maker and maker.capture == "lines" and items_of_lines(value) or value
end

local function ask_lister(run, step, each)
  local spec = { argv = each.argv, sh = each.sh, lua = each.lua, fn = each.fn, env = step.env, cwd = step.cwd, pool = step.pool,
                 capture = (each.argv or each.sh) and "text" or nil, fail = step.collect and "collect" or nil }
  local lister = model.make_step(step.key .. ":each", step.name, spec, step.place)
  lister.matrix, lister.always = step.matrix, run.is_always(step)
  local outcome = run:add_and_wait(lister, step.key)
  if not run.good[outcome.state] then return nil, ("%s %s"):format(lister.key, outcome.state) end
  if type(outcome.value) == "table" then return outcome.value end
  return lines_or_json(outcome.value or "")
end

-- The list: given, printed by a command, returned by a function, or the value of a step.
local function items_of(run, step)
  local each = step.each
  if type(each) == "string" then return value_of_step(run, step, each) end
  if type(each) == "function" then return ask_lister(run, step, { fn = each }) end
  if each[1] ~= nil or next(each) == nil then return each end
  if each.items then return each.items end
  return ask_lister(run, step, each)
end

-- The items that stand in the pipeline itself.
function fan_out.known_items(step)
  local each = step.each
  if type(each) ~= "table" then return {} end
  return each.items or each[1] ~= nil and each or {}
end

-- An item as it stands in keys.
function fan_out.words_of(item) return type(item) == "table" and json.encode(item) or tostring(item) end

-- The fan-out of a key like "test[b]", and what stands in the brackets.
function fan_out.of_item(pipeline, key)
  for at in key:gmatch("()%[") do
    local step = pipeline.by_key[key:sub(1, at - 1)]
    if step and step.each and key:sub(-1) == "]" then return step, key:sub(at + 1, -2) end
  end
end

-- The keys of its items, where they are known before a run; else nil.
function fan_out.known_keys(step)
  local keys, items = {}, fan_out.known_items(step)
  for i, item in ipairs(items) do
    if text.has_template(item) then return nil end
    keys[i] = ("%s[%s]"):format(step.key, fan_out.words_of(item))
  end
  return #keys > 0 and keys or nil
end

-- The step of an item.
function fan_out.item_step(step, item)
  local copy = {}
  for name, value in pairs(step) do copy[name] = value end
  copy.each, copy.item, copy.needs, copy.after = nil, item, {}, {}
  copy.when, copy.finally, copy.judges_items = "success", nil, nil
  if not step.judges_items then copy.condition, copy.condition_text = nil, nil end
  copy.key = ("%s[%s]"):format(step.key, fan_out.words_of(item))
  return copy
end

-- Of the items those that the run is for, where it is not for all: every one of them has to be there.
local function chosen(run, step, steps)
  local wanted = run.pipeline.wanted_items[step.key]
  if not wanted then return steps end
  local list, keys, found = {}, {}, {}
  for i, one in ipairs(steps) do
    keys[i] = one.key
    if wanted[one.key] then list[#list + 1], found[one.key] = one, true end
  end
  for _, key in ipairs(text.sorted_keys(wanted)) do
    if not found[key] then error(("each: the list has no item for '%s'%s"):format(key, text.suggestion(key, keys)), 0) end
  end
  return list
end

-- One for each item; two of one key are refused, like two steps of one name.
local function steps_of(run, step, items)
  local steps, known, scope = {}, {}, run:scope_of(step)
  for _, item in ipairs(items) do
    local one = fan_out.item_step(step, text.has_template(item) and text.expand_within(item, scope) or item)
    one.key, one.always = run.mask(one.key), run.is_always(step)
    if known[one.key] then error(("each: the list makes '%s' twice"):format(one.key), 0) end
    local other = run.pipeline.by_key[one.key]
    if other then error(("each: there is a step '%s' already, at %s"):format(one.key, other.place or "?"), 0) end
    steps[#steps + 1], known[one.key] = one, true
  end
  return chosen(run, step, steps)
end

function fan_out.run(run, step)
  local began = peri.clock()
  local items, problem = items_of(run, step)
  if not items then return { state = "blocked", reason = problem, started = began } end
  if next(items) ~= nil and items[1] == nil then error("each: a list expected, got an object", 0) end
  local permits = step.limit and peri.semaphore(step.limit)
  local failed, values = {}, {}
  local steps = steps_of(run, step, items)
  peri.scope(function(s)
    for i, one in ipairs(steps) do
      s:spawn(function()
        local _ <close> = permits and permits:acquire() or nil
        local outcome = run:add_and_wait(one, step.key)
        values[i] = outcome.value
        if not run.good[outcome.state] then failed[#failed + 1] = one.key end
      end)
    end
  end)
  if #failed == 0 then return { state = "succeeded", value = #values == #steps and json.array(values) or nil, started = began } end
  local reason = ("%d of its %d items did not succeed"):format(#failed, #steps)
  return { state = run.stopped and "cancelled" or "blocked", reason = reason, started = began }
end

return fan_out
