-- Task-local data: inherited by copy at the spawn, and each task's own from then on.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

case("ISO-09: a child begins with a copy of its parent's data; writes of either stay its own", function()
  peri.data.user = "ann"
  local child = peri.spawn(function()
    local inherited = peri.data.user
    peri.data.user, peri.data.own = "bob", 1
    peri.sleep(2)
    local grandchild = peri.spawn(function() return peri.data.user, peri.data.later end)
    return inherited, peri.data.user, peri.data.later, grandchild:await()
  end)
  peri.sleep(1)
  peri.data.later = true
  check.equal(peri.data.user, "ann")
  check.equal(peri.data.own, nil)
  check.same(table.pack(child:await()), table.pack("ann", "bob", nil, "bob", nil))
end)

case("ISO-09: what is inherited is what stood there at the spawn, not at the start", function()
  peri.data.step = 1
  local child = peri.spawn(function() return peri.data.step end)
  peri.data.step = 2
  check.equal(child:await(), 1)
end)

case("ISO-09: data follows a task through waits, generators and closers", function()
  local seen
  local task = peri.spawn({ local_data = { id = 7 } }, function()
    local _ <close> = check.closer(function() seen = peri.data.id end)
    local generator = coroutine.wrap(function()
      peri.sleep(1)
      peri.data.id = peri.data.id + 1
      coroutine.yield()
    end)
    generator()
    peri.sleep(100)
  end)
  peri.sleep(2)
  task:cancel()
  task:join()
  check.equal(seen, 8)
end)
