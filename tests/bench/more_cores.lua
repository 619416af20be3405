-- What more cores bring and cost, for Lua tasks. usage: perilune run --workers 2 more_cores.lua WORKLOAD N
-- Prints one line: ns=<nanoseconds of the timed part> ops=<operations>
local peri = require "perilune"

local name, count = arg[1], math.tointeger(tonumber(arg[2] or "")) or 0
local workers = peri.workers()

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

local workloads = {}

function workloads.fib() -- so many fib(27), spread over the workers
  local function work(fn, n)
    for _ = 1, n do assert(fn(27) == 196418) end
  end
  local tasks = {}
  for w = 1, workers do tasks[w] = peri.parallel({ worker = w }, work, fib, count // workers) end
  for _, t in ipairs(tasks) do t:await() end
  return count // workers * workers
end

function workloads.throughput() -- values through a bounded channel to a task on the other worker
  local ch = peri.shared_channel(128)
  local sum = peri.parallel({ worker = workers }, function(from)
    local total = 0
    for v in from:iter() do total = total + v end
    return total
  end, ch)
  for i = 1, count do ch:send(i) end
  ch:close()
  assert(sum:await() == count * (count + 1) // 2)
  return count
end

function workloads.roundtrip() -- a value there and one back, over two channels of capacity 1
  local there, back = peri.shared_channel(1), peri.shared_channel(1)
  local echo = peri.parallel({ worker = workers }, function(from, to)
    for v in from:iter() do to:send(v) end
  end, there, back)
  for i = 1, count do
    there:send(i)
    assert(back:recv() == i)
  end
  there:close()
  echo:await()
  return count
end

if not workloads[name] or count < 1 then
  io.stderr:write("usage: perilune run --workers 2 more_cores.lua WORKLOAD N\n")
  os.exit(3)
end
local begun = peri.now()
local operations = workloads[name]()
print(("ns=%.0f ops=%d"):format((peri.now() - begun) * 1e9, operations))
