-- What the times of a run's steps say: which chain of steps made the run as long as it was, and which steps took most.
--
-- A step here is one of a record (record.lua). Steps that ran no command of their own, and those that added others, only
-- stand for them: they are no part of the answers.
local analysis = {}

local worked = { succeeded = true, failed = true, timeout = true, cancelled = true }

local function did_work(step) return worked[step.state] and step.command ~= nil and step.started ~= nil and step.ended ~= nil end

-- For each step that added others these, in the order of their ends.
local function children_of(steps)
  local children = {}
  for _, step in ipairs(steps) do
    if step.added_by and step.ended then
      local list = children[step.added_by] or {}
      children[step.added_by] = list
      list[#list + 1] = step
    end
  end
  for _, list in pairs(children) do table.sort(list, function(a, b) return a.ended < b.ended end) end
  return children
end

-- The last in a list sorted by end that had ended by then.
local function last_ended(list, by)
  local low, high = 0, list and #list or 0
  while low < high do
    local middle = (low + high + 1) // 2
    if list[middle].ended <= by then low = middle else high = middle - 1 end
  end
  return list and list[low]
end

local function last_needed(step, by_key)
  local last
  for _, keys in ipairs { step.needs, step.after } do
    for _, key in ipairs(keys) do
      local one = by_key[key]
      if one and one.ended and (not last or one.ended > last.ended) then last = one end
    end
  end
  return last
end

-- The last of all that are not to stand at the end.
local function last_ordinary(steps)
  local last
  for _, one in ipairs(steps) do
    if not one.last and one.ended and (not last or one.ended > last.ended) then last = one end
  end
  return last
end

-- The step that said what a fan-out fans out over, to those that wait for it.
local function lister_for(step, adder, by_key)
  local lister = by_key[adder.key .. ":each"]
  return lister and lister ~= step and lister.ended and lister
end

-- What a step waited for last: the last of what it needs; for an added one, what its adder had waited for before. A Lua step
-- adds one step after another; a fan-out, which has no command, adds all at once when it knows its items.
local function before(step, steps, by_key, children)
  local found = last_needed(step, by_key) or step.last and last_ordinary(steps)
  while not found and step.added_by do
    local adder = by_key[step.added_by]
    if not adder then break end
    found = adder.command and last_ended(children[adder.key], step.added or 0) or lister_for(step, adder, by_key)
      or last_needed(adder, by_key)
    step = adder
  end
  return found
end

-- The steps of the critical path, the first one first.
function analysis.critical_path(steps)
  local children, by_key, at = children_of(steps), {}, nil
  for _, step in ipairs(steps) do
    if did_work(step) and not children[step.key] and (not at or step.ended > at.ended) then at = step end
  end
  if not at then return {} end
  for _, step in ipairs(steps) do by_key[step.key] = step end
  local backwards, seen = {}, {}
  while at and not seen[at] do
    seen[at] = true
    local list = children[at.key]
    if not list and did_work(at) then backwards[#backwards + 1] = at end
    at = list and last_ended(list, at.ended) or before(at, steps, by_key, children)
  end
  local path = {}
  for i = #backwards, 1, -1 do path[#path + 1] = backwards[i] end
  return path
end

local function is_slower(a, b)
  if a.duration ~= b.duration then return a.duration > b.duration end
  return a.key < b.key
end

-- The n steps that took longest.
function analysis.slowest(steps, n)
  local children, list = children_of(steps), {}
  for _, step in ipairs(steps) do
    if did_work(step) and not children[step.key] then
      local at = #list + 1
      while at > 1 and is_slower(step, list[at - 1]) do at = at - 1 end
      if at <= n then
        table.insert(list, at, step)
        list[n + 1] = nil
      end
    end
  end
  return list
end

return analysis
