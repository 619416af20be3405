-- Hello: a script is a task, and it can start others. Run it with: perilune run examples/lua/hello.lua
local peri = require "perilune"

local function greet(who)
  peri.sleep(0.01) -- waits without holding anybody up: the other tasks run meanwhile
  return "hello, " .. who
end

local moon = peri.spawn(greet, "moon") -- a child of this task; it has not run yet
local sun = peri.spawn(greet, "sun")
print("two tasks are queued; they run while this one waits")

-- join waits for the end and says how it went: true and the results, or false and an error.
print(moon:join())
print(sun:join())

-- A failure is a value as well. It ends neither this task nor the program.
local lost = peri.spawn({ name = "probe" }, function() error("lost in space", 0) end)
local ok, e = lost:join()
print(ok, e.kind, e.message)
print(e) -- names the task that failed

-- Whoever wants the results alone says await. It raises what went wrong.
print(peri.spawn(greet, "everybody"):await())
