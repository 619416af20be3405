-- Intervals: something every so often. Ticks stand on a grid, so they do not drift, however long each round takes.
local peri = require "perilune"

-- The first tick is immediate, the next ones come each tenth of a second. A tick returns the instant at which it stood.
do
  local every <close> = peri.interval(0.1)
  local first = every:tick()
  for round = 1, 3 do
    print("round " .. round, ("%.1f s"):format(every:tick() - first))
  end
end

-- Somebody was busy for two and a half periods. In burst, the missed ticks come at once, and then it is back on the grid;
-- with delay, the next is one period after the late one; with skip, the missed ones are left out.
for _, missed in ipairs { "burst", "delay", "skip" } do
  local every <close> = peri.interval(0.2, { missed = missed })
  local first = every:tick()
  peri.sleep(0.5)
  local at = {}
  for i = 1, 3 do
    every:tick()
    at[i] = ("%.1f"):format((peri.now() - first) // 0.1 / 10)
  end
  print(missed, table.concat(at, " "))
end

-- A tick is an operation, so it can be waited for beside others: work off a queue, and say now and then how far it is.
local queue = peri.channel(0)
peri.spawn(function()
  for job = 1, 3 do
    peri.sleep(0.3)
    queue:send(job)
  end
  queue:close()
end)
local report <close> = peri.interval(0.4)
report:tick()
local done = 0
while true do
  local what, job = peri.select { job = queue:recv_op(), report = report:tick_op() }
  if what == "report" then
    print("done so far", done)
  elseif job then
    done = done + 1
  else
    break
  end
end
print("done", done)
