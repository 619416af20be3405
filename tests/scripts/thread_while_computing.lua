-- real clock
-- A cancellation of peri.thread while its function computes.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

case("CAN-08: a cancellation reaches it while it computes; its closers run there first", function()
  local out = peri.shared_channel(4)
  local t = peri.thread(function(ch)
    local _ <close> = peri.defer(function(e) peri.sleep(0.002) ch:send("closed: " .. e.reason) end)
    ch:send("started")
    while true do end
  end, out)
  check.equal(out:recv(), "started")
  t:cancel("enough")
  local ok, e = t:join()
  check.equal(ok, false) check.equal(e.kind, "cancelled") check.equal(e.reason, "enough")
  check.equal(out:try_recv(), "closed: enough")
end)
