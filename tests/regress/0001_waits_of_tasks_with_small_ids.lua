-- real clock
-- peri.waits and peri.dump took ids of tasks for places in their list of tasks: in a program whose ids are as small as that list is
-- long, some tasks stood there twice and others not at all.
local peri = require "perilune"

local ended = peri.spawn({ name = "ended" }, function() end)
ended:join()
local channel, tasks = peri.channel(0), {}
for i = 1, 3 do tasks[i] = peri.spawn({ name = "waits " .. i }, channel.recv, channel) end
peri.yield()

local names = {}
for i, wait in ipairs(peri.waits()) do names[i] = wait.name end
local found = table.concat(names, ", ")
assert(found == "waits 1, waits 2, waits 3", found)
for i = 1, 3 do
  local _, count = peri.dump():gsub("\n  task " .. tasks[i].id .. " waits in recv", "")
  assert(count == 1, "task " .. i .. " waits " .. count .. " times in\n" .. peri.dump())
end
channel:close()
