-- Using more cores than one: perilune run --workers 4 more_cores.lua
--
-- Each worker has a VM of its own, so nothing is shared by accident: what a function is given is copied, and what tasks on
-- different workers have together are channels, tokens, permits, and values that nobody can change.
local peri = require "perilune"

-- A function on another worker is a task like any other. It takes along what it needs.
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print("fib(20):", peri.parallel(fib, 20):await())

-- A list computed on all of them, in order.
print("squares:", table.concat(peri.pmap({ 1, 2, 3, 4, 5 }, function(x) return x * x end), " "))

-- Workers that take from one channel and put into another. A table that all of them only read is not copied for each.
local prices = peri.shared { apple = 3, pear = 4, plum = 2 }
local orders, sums = peri.shared_channel(4, "orders"), peri.shared_channel(4, "sums")
local function till()
  for order in orders:iter() do sums:send(prices[order.fruit] * order.count) end
end
local tills = { peri.parallel(till), peri.parallel(till) }
local cashier = peri.spawn(function()
  local total = 0
  for sum in sums:iter() do total = total + sum end
  return total
end)
for i, fruit in ipairs { "apple", "pear", "plum", "apple" } do orders:send { fruit = fruit, count = i } end
orders:close()
for _, t in ipairs(tills) do t:await() end
sums:close()
print("total:", cashier:await())

-- A buffer moves: whoever sent it has it no longer, and nothing was copied.
local page = peri.buffer("some bytes")
local stamped = peri.parallel(function(b) return b:append(", stamped") end, page):await()
print("buffer:", tostring(stamped), "| here:", tostring(page))

-- A call that blocks its thread goes to the blocking pool, one that stays to a thread of its own.
print("blocking:", peri.blocking(function() return #"done" end):await())
local lines = peri.shared_channel(2)
local reader = peri.thread({ name = "reader" }, function()
  for i = 1, 3 do lines:send("line " .. i) end
  lines:close()
end)
for line in lines:iter() do print("thread:", line) end
reader:await()

-- One token ends work in every VM.
local enough = peri.token()
local far = peri.parallel(function() return peri.with_token(enough, peri.sleep, 3600) end)
enough:cancel("enough")
print("token:", select(2, far:await()))
