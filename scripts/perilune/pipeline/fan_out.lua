-- `each`: a step for every item of a list that is known only when the run is there. An empty list is a success.
local peri = require "perilune"
local json = require "perilune.json"
local model = require "perilune.pipeline.model"
local text = require "perilune.pipeline.text"

local fan_out = {}

local function lines_or_json(output)
  local value = json.decode(output)
  if type(value) == "table" then return value end
  local lines = {}
  for line in output:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

-- The list: given, printed by a command, returned by a function, or the value of a step.
local function items_of(run, step)
  local each = step.each
  if type(each) == "string" then
    local of = run.outcomes[each:match("^steps%.(.+)%.value$") or each]
    return of and of.value or text.refuse(3, "each: '%s' has no value", each)
  end
  if each[1] ~= nil or next(each) == nil then return each end
  if each.items then return each.items end
  local spec = { argv = each.argv, sh = each.sh, lua = each.lua, env = step.env, cwd = step.cwd, capture = "text" }
  local lister = model.make_step(step.key .. ":each", step.key, spec, step.place)
  local outcome = run:add_and_wait(lister, step.key)
  if not run.good[outcome.state] then error("the list of its items could not be made: " .. lister.key .. " " .. outcome.state, 0) end
  if type(outcome.value) == "table" then return outcome.value end
  return lines_or_json(outcome.value or "")
end

local function item_step(step, item)
  local copy = {}
  for name, value in pairs(step) do copy[name] = value end
  copy.each, copy.item, copy.needs, copy.after = nil, item, {}, {}
  copy.key = ("%s[%s]"):format(step.key, type(item) == "table" and json.encode(item) or tostring(item))
  return copy
end

function fan_out.run(run, step)
  local began = peri.clock()
  local permits = peri.semaphore(step.limit or 1000000)
  local failed, values = 0, {}
  peri.scope(function(s)
    for i, item in ipairs(items_of(run, step)) do
      s:spawn(function()
        local _ <close> = permits:acquire()
        local outcome = run:add_and_wait(item_step(step, item), step.key)
        values[i] = outcome.value
        if not run.good[outcome.state] then failed = failed + 1 end
      end)
    end
  end)
  if failed > 0 then return { state = "blocked", reason = failed .. " of its items did not succeed", started = began } end
  return { state = "succeeded", value = values, started = began }
end

return fan_out
