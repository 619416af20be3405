-- How long it takes to make an isolate and end it, by profile; and a run in one: perilune run tests/bench/isolate.lua
local peri = require "perilune"

local function measure(what, count, fn)
  collectgarbage()
  local best = math.huge
  for _ = 1, 5 do
    local began = peri.now()
    for _ = 1, count do fn() end
    best = math.min(best, (peri.now() - began) / count)
  end
  print(("%-24s %8.1f us"):format(what, best * 1e6))
end

for _, profile in ipairs { "trusted", "tool", "untrusted" } do
  measure("make, close: " .. profile, 200, function() peri.isolate({ profile = profile }):close() end)
end

local vm <close> = peri.isolate {}
print("memory of an empty one", vm.memory_used)
measure("a run", 2000, function() vm:run("return 1"):await() end)
