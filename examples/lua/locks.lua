-- Locks and their kin: tasks share data as they like, since no other task runs between two waits. A lock is for what must
-- stay as it is *across* a wait.
local peri = require "perilune"

-- Reading the balance and writing it back with a wait in between: without the mutex both would start from 100.
local balance, account = 100, peri.mutex()

local function withdraw(amount)
  local guard <close> = account:lock() -- released however the block is left
  local before = balance
  peri.sleep(0.01) -- ask somebody, write a file, ...
  balance = before - amount
end

peri.scope(function(s)
  s:spawn(withdraw, 30)
  s:spawn(withdraw, 50)
end)
print("balance: " .. balance)

-- Locking twice would wait for ever. The mistake is told where it is made, with the line that holds the lock.
account:with(function()
  local ok, problem = pcall(account.lock, account)
  print("twice: " .. tostring(problem):gsub("^.*locks.lua:%d+: ", ""):gsub(" at .*", ""))
end)

-- A semaphore lets so many in at a time.
local slots, inside, most = peri.semaphore(3), 0, 0
peri.scope(function(s)
  for _ = 1, 10 do
    s:spawn(function()
      local permit <close> = slots:acquire()
      inside = inside + 1
      most = math.max(most, inside)
      peri.sleep(0.01)
      inside = inside - 1
    end)
  end
end)
print("at most " .. most .. " of 10 at a time")

-- The first to ask makes the value, the others wait for it.
local config = peri.once(function()
  print("reading the configuration")
  peri.sleep(0.01)
  return { port = 8080 }
end)
local ports = {}
peri.scope(function(s)
  for i = 1, 3 do
    s:spawn(function() ports[i] = config:get().port end)
  end
end)
print("ports: " .. table.concat(ports, " "))

-- A lock is an operation like any other: wait for it, but not for ever.
local owner = peri.spawn(function()
  local guard <close> = account:lock()
  peri.sleep(1)
end)
peri.yield()
local key = peri.select { lock = account:lock_op(), late = peri.sleep_op(0.02) }
print("within 20 ms: " .. key)
owner:cancel()
owner:join()
print("the last holder was cut short: " .. tostring(account.abandoned))
