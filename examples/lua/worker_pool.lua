-- A worker pool: a few tasks share many jobs. Bounded channels on both sides keep the work from piling up: whoever is too
-- fast waits for the others.
local peri = require "perilune"

local workers <const> = 3
local jobs = peri.channel(2)
local results = peri.channel(2)

-- One in five numbers cannot be worked on. The worker survives it, since the job is a task of its own.
local function work(n)
  peri.sleep(0.001 * (n % 3))
  if n % 5 == 0 then error("cannot do " .. n, 0) end
  return n * n
end

local function worker()
  for n in jobs:iter() do
    local ok, value = peri.spawn(work, n):join()
    results:send { n = n, ok = ok, value = ok and value or value.message }
  end
end

local pool = peri.spawn(function()
  peri.scope(function(s)
    for _ = 1, workers do s:spawn(worker) end
  end)
  results:close() -- the last worker has left: nothing more will come
end)

peri.spawn(function()
  for n = 1, 12 do jobs:send(n) end
  jobs:close() -- what is in the channel is still delivered
end)

-- Results come in as they are ready, so they are put in order here.
local done, failed = {}, {}
for r in results:iter() do
  if r.ok then done[#done + 1] = r.n else failed[#failed + 1] = r.value end
end
pool:join()
table.sort(done)
table.sort(failed)
print("done:   " .. table.concat(done, " "))
print("failed: " .. table.concat(failed, ", "))
print("most jobs waiting at any time: " .. jobs:stats().peak)
