-- The cancel tree: a task is a child of the task that spawned it, and cancelling one ends everything below it. Nothing is
-- forgotten and nothing is torn: every task closes what it has open, and that may take its time.
local peri = require "perilune"

local function opened(what)
  print("open  " .. what)
  return peri.defer(function() -- runs however the block is left: by its end, by an error, by a cancellation
    peri.sleep(0.001) -- closers may wait
    print("close " .. what)
  end)
end

local expedition = peri.spawn({ name = "expedition" }, function()
  local _ <close> = opened "camp"
  peri.spawn(function()
    local _ <close> = opened "rope"
    peri.spawn(function()
      local _ <close> = opened "lamp"
      peri.sleep(1000)
    end)
    peri.sleep(1000)
  end)
  -- A cancellation cannot be swallowed by accident: pcall lets it through.
  print("this pcall never returns", pcall(peri.sleep, 1000))
end)

peri.sleep(0.01)
print("storm: " .. expedition:status())
expedition:cancel("storm") -- only asks, and returns at once
print("asked: " .. expedition:status())

-- The end of a task is the end of all that is below it.
local ok, e = expedition:join()
print(ok, e.kind, e.reason, expedition:status())

-- A detached task is not in the tree. It goes on, and the program waits for it at its end.
local parent = peri.spawn(function()
  peri.spawn({ detached = true }, function()
    peri.sleep(0.01)
    print("the detached task is done")
  end)
  peri.sleep(1000)
end)
peri.yield()
parent:cancel()
print(parent:join())
