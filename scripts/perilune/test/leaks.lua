-- Tasks that outlive what should have ended them.
local peri = require "perilune"
local native = package.loaded["perilune.native.test"]

local leaks = {}

-- The ids of the tasks there are.
function leaks.now()
  local ids = {}
  for _, task in ipairs(peri.tasks()) do ids[task.id] = true end
  return ids
end

local function describe(task)
  local text = ("task %d%s, %s"):format(task.id, task.name and " (" .. task.name .. ")" or "", task.state)
  if task.waiting_on then text = text .. (" in %s on a %s"):format(task.waiting_on.op, task.waiting_on.resource) end
  if task.line then text = text .. " at " .. task.line end
  return task.spawned_at and text .. ", spawned at " .. task.spawned_at or text
end

-- The tasks that were not there before, one a line, or nil when there is none. The running task does not count.
function leaks.since(before)
  local me, left = peri.self().id, {}
  for _, task in ipairs(peri.tasks()) do
    if not before[task.id] and task.id ~= me then left[#left + 1] = describe(task) end
  end
  if #left > 0 then return table.concat(left, "\n  ") end
end

local polls, pause = 300, 0.1 -- three times the default grace, after which the runtime kills

-- Cancels those tasks, and waits for their end. False when some do not end.
function leaks.clear(before)
  local kept = { [peri.self().id] = true }
  for id in pairs(before) do kept[id] = true end
  native.cancel_others(kept)
  for _ = 1, polls do
    if not leaks.since(before) then return true end
    peri.sleep(pause)
  end
  return false
end

return leaks
