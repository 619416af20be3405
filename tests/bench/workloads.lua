-- The measured workloads for Lua tasks. usage: perilune run workloads.lua WORKLOAD N
-- Prints one line: ns=<nanoseconds of the timed part> ops=<operations> [key=value ...]
local peri = require "perilune"

local name, count = arg[1], math.tointeger(tonumber(arg[2] or "")) or 0
local spawn, yield, channel, now = peri.spawn, peri.yield, peri.channel, peri.now

local function report(seconds, operations, extra)
  print(string.format("ns=%.0f ops=%d%s", seconds * 1e9, operations, extra or ""))
end

local function bytes_of(field) -- of /proc/self/status: VmRSS, or VmHWM for the peak
  local status = io.open("/proc/self/status")
  local text = status:read("a")
  status:close()
  return tonumber(text:match(field .. ":%s*(%d+)")) * 1024
end

-- Runs `body` and reports it as so many operations.
local function timed(operations, body)
  local begun = now()
  local extra = body()
  report(now() - begun, operations, extra)
end

local function result_of(task)
  local _, value = task:join()
  return value
end

local function echo(value) return value end

local workloads = {}

function workloads.w1() -- switches between two yielding tasks
  local half = count // 2
  local function spin() for _ = 1, half do yield() end end
  timed(2 * half, function()
    local first, second = spawn(spin), spawn(spin)
    first:join()
    second:join()
  end)
end

function workloads.w2seq() -- spawn and join, one by one
  timed(count, function()
    for i = 1, count do result_of(spawn(echo, i)) end
  end)
end

function workloads.w2batch() -- spawn and join, a thousand at a time
  timed(count // 1000 * 1000, function()
    local tasks = {}
    for _ = 1, count // 1000 do
      for i = 1, 1000 do tasks[i] = spawn(echo, i) end
      for i = 1, 1000 do result_of(tasks[i]) end
    end
  end)
end

function workloads.w3() -- round trips over two channels of capacity 1
  local there, back = channel(1), channel(1)
  timed(count, function()
    local partner = spawn(function()
      for _ = 1, count do back:send(there:recv()) end
    end)
    for i = 1, count do
      there:send(i)
      back:recv()
    end
    partner:join()
  end)
end

local function bounded(producers)
  local share = count // producers
  local pipe = channel(64)
  timed(share * producers, function()
    for _ = 1, producers do
      spawn(function() for i = 1, share do pipe:send(i) end end)
    end
    for _ = 1, share * producers do pipe:recv() end
  end)
end
function workloads.w4a() bounded(1) end
function workloads.w4b() bounded(4) end

function workloads.w5() -- a value through a chain of a thousand tasks; an operation is one hop
  local links = {}
  for i = 1, 1001 do links[i] = channel(1) end
  for i = 1, 1000 do
    spawn(function() for _ = 1, count do links[i + 1]:send(links[i]:recv()) end end)
  end
  yield()
  timed(count * 1000, function()
    for i = 1, count do
      links[1]:send(i)
      links[1001]:recv()
    end
  end)
end

function workloads.w6() -- a tree of tasks, ten children each; an operation is one leaf
  local function node(first, size)
    if size == 1 then return first end
    local part, children, sum = size // 10, {}, 0
    for i = 0, 9 do children[i] = spawn(node, first + i * part, part) end
    for i = 0, 9 do sum = sum + result_of(children[i]) end
    return sum
  end
  timed(count, function()
    assert(result_of(spawn(node, 0, count)) == count * (count - 1) // 2)
    return string.format(" peak_bytes=%d", bytes_of("VmHWM"))
  end)
end

function workloads.w7() -- sleepers of 1 to 1000 ms; ns is processor time
  math.randomseed(7)
  local begun = os.clock()
  local tasks = {}
  for i = 1, count do
    local span = math.random(1000) / 1000
    tasks[i] = spawn(function() peri.sleep(span) end)
  end
  for i = 1, count do tasks[i]:join() end
  report(os.clock() - begun, count)
end

local function parked(body)
  local before, tasks = bytes_of("VmRSS"), {}
  local begun = now()
  for i = 1, count do tasks[i] = spawn(body) end
  yield()
  peri.sleep(0.001)
  report(now() - begun, count, string.format(" bytes_per=%.0f", (bytes_of("VmRSS") - before) / count))
  os.exit(0)
end
function workloads.w8() -- tasks parked on a channel
  local never = channel(1)
  parked(function() return never:recv() end)
end
function workloads.w8s() parked(function() peri.sleep(1000) end) end

local function four_channels() return { channel(1), channel(1), channel(1), channel(1) } end
local function select_any(c)
  return peri.select { c[1]:recv_op(), c[2]:recv_op(), c[3]:recv_op(), c[4]:recv_op() }
end

function workloads.w9a() -- select over four, one ready
  local c = four_channels()
  timed(count, function()
    for i = 1, count do
      c[i % 4 + 1]:send(i)
      select_any(c)
    end
  end)
end

function workloads.w9b() -- select over four, fed by a producer
  local c = four_channels()
  timed(count, function()
    spawn(function() for i = 1, count do c[i % 4 + 1]:send(i) end end)
    for _ = 1, count do select_any(c) end
  end)
end

local function cancelled(body)
  local tasks = {}
  for i = 1, count do tasks[i] = spawn(body) end
  yield()
  timed(count, function()
    for i = 1, count do tasks[i]:cancel() end
    for i = 1, count do tasks[i]:join() end
  end)
end
function workloads.w10s() cancelled(function() peri.sleep(1000) end) end -- cancel and join sleepers
function workloads.w10c() -- cancel and join receivers
  local never = channel(1)
  cancelled(function() never:recv() end)
end

function workloads.fib() -- 64 computations, one worker
  local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
  timed(64, function()
    local tasks = {}
    for i = 1, 64 do tasks[i] = spawn(fib, count) end
    for i = 1, 64 do tasks[i]:join() end
  end)
end

function workloads.w13() spawn(echo, 1):join() end -- start-up: timed from outside

if not workloads[name] or count < 1 and name ~= "w13" then
  io.stderr:write("usage: perilune run workloads.lua WORKLOAD N\n")
  os.exit(2)
end
workloads[name]()
