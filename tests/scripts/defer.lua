-- peri.defer: a function that runs however its block is left.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

case("defer: runs when the block ends, is left by return, break or goto, or by an error", function()
  local note, taken = check.trace()
  do
    local _ <close> = peri.defer(function(e) note("end"); note(e) end)
    note("body")
  end
  local function returns()
    local _ <close> = peri.defer(function() note("return") end)
    return "value"
  end
  note(returns())
  for _ = 1, 2 do
    local _ <close> = peri.defer(function() note("break") end)
    break
  end
  local ok, e = pcall(function()
    local _ <close> = peri.defer(function(e) note(e) end)
    error("broken", 0)
  end)
  check.same({ ok, e }, { false, "broken" })
  check.equal(taken(), "body end nil return value break broken")
end)

case("defer: may await, on a normal exit, an error and a cancellation", function()
  local start = peri.now()
  local function body(act)
    local _ <close> = peri.defer(function() peri.sleep(1) end)
    act()
  end
  check.equal(peri.spawn(body, function() end):join(), true)
  check.equal(peri.now() - start, 1)
  check.equal(peri.spawn(body, function() error("x") end):join(), false)
  check.equal(peri.now() - start, 2)
  local task = peri.spawn(body, function() peri.sleep(60) end)
  peri.yield()
  task:cancel()
  check.equal(task:join(), false)
  check.equal(peri.now() - start, 3)
end)

case("defer: is shielded from a cancellation that comes while it runs", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    do
      local _ <close> = peri.defer(function()
        peri.sleep(2)
        note("cleaned")
      end)
    end
    peri.sleep(0)
    note("never")
  end)
  peri.sleep(1)
  task:cancel()
  check.equal(task:join(), false)
  check.equal(taken(), "cleaned")
end)

case("defer: its grace of five seconds is the end of it", function()
  local start, note, taken = peri.now(), check.trace()
  local ok, e = pcall(function()
    local _ <close> = check.closer(function() note("outer") end)
    local _ <close> = peri.defer(function()
      peri.sleep(60)
      note("never")
    end)
  end)
  check.equal(ok, false)
  check.kind(e, "timeout")
  check.equal(taken(), "outer")
  check.equal(peri.now() - start, 5)
end)

case("defer: time_left in it is the rest of the grace", function()
  local left
  peri.timeout(2, function()
    local _ <close> = peri.defer(function()
      peri.sleep(1)
      left = peri.time_left()
    end)
  end)
  check.equal(left, 4)
end)

case("defer: its error is raised, the remaining closers run", function()
  local note, taken = check.trace()
  local _, e = peri.spawn(function()
    local _ <close> = peri.defer(function() note("outer") end)
    local _ <close> = peri.defer(function() error("disk full", 0) end)
  end):join()
  check.equal(e.value, "disk full")
  check.equal(taken(), "outer")
end)

case("defer: without <close> it does nothing", function()
  local ran = false
  peri.defer(function() ran = true end)
  collectgarbage()
  collectgarbage()
  peri.sleep(1)
  check.equal(ran, false)
end)

case("defer: may spawn and wait for children on a normal exit", function()
  local got
  do
    local _ <close> = peri.defer(function()
      got = peri.spawn(function() peri.sleep(1); return "child" end):await()
    end)
  end
  check.equal(got, "child")
end)

case("defer: refuses what cannot be called", function()
  check.misuse("bad argument #1 to 'defer'", function() peri.defer(1) end)
  check.misuse("bad argument #1 to 'defer'", function() peri.defer() end)
end)

case("shield: refuses what cannot be called, and a limit that is no number of seconds", function()
  check.misuse("bad argument #1 to 'shield'", function() peri.shield("x") end)
  check.misuse("bad argument #2 to 'shield'", function() peri.shield(1) end)
  check.misuse("bad argument #1 to 'shield'", function() peri.shield(0 / 0, print) end)
end)
