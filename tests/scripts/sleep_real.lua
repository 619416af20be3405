-- real clock
-- Sleepers on the real clock: many that are due close together share one wait of the worker, and none is early or late by it.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

case("TIM-03: of many sleepers none wakes early, and what is shared of their waits does not hold them up", function()
  local lates, early = {}, 0
  local started = peri.now()
  peri.scope(function(s)
    for n = 1, 500 do
      s:spawn(function()
        local due = peri.now() + n / 2000
        peri.sleep(n / 2000)
        local late = peri.now() - due
        if late < 0 then early = early + 1 end
        lates[#lates + 1] = late
      end)
    end
  end)
  assert(early == 0, early .. " of 500 woke early")
  table.sort(lates)
  local median, whole = lates[250], peri.now() - started
  assert(median < 0.1, ("half of them were over %.3f s late"):format(median))
  assert(whole < 3, ("the last of 0.25 s woke after %.3f s"):format(whole))
end)
