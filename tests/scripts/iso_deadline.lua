-- real clock
-- Isolates: the time of a run is watched whatever its instructions take.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

case("ISO-13: deadline: it is seen where fuel is limited, too, and instructions take long", function()
  local vm <close> = peri.isolate { fuel = 1000000000, deadline = 0.2 }
  local ok, e = vm:run([[
    local a, b = ("x"):rep(5000000) .. "a", ("x"):rep(5000000) .. "b"
    while true do local less = a < b end
  ]]):join()
  check.equal(ok, false)
  check.equal(e.kind, "limit")
  check.contains(tostring(e), "deadline")
end)
