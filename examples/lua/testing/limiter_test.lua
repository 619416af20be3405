-- Tests of a rate limiter. They take more than ten hours and no time at all:
--
--   perilune test examples/lua/testing
--
-- A test file registers tests; each runs as a task of its own on a clock that jumps when nobody can run.
local peri = require "perilune"
local test = require "perilune.test"
local rate_limiter = require "rate_limiter"

test("lets through as many as it may, and then one for each that has had its time", function(t)
  local limit = rate_limiter(2, 60)
  local passed = {}
  for i = 1, 5 do
    peri.spawn(function()
      limit()
      passed[#passed + 1] = { i, t.elapsed() }
    end)
  end
  t.wait_all_blocked() -- everybody has gone as far as possible, and the clock stands where it stood
  t.equal(#passed, 2)
  t.advance(59)
  t.equal(#passed, 2, "a second before the time")
  t.advance(1)
  t.equal(#passed, 4)
  t.run_until_idle() -- no timer is left
  t.same(passed, { { 1, 0 }, { 2, 0 }, { 3, 60 }, { 4, 60 }, { 5, 120 } })
end)

test.group("somebody gives up", function()
  test.before(function(t) t.limit = rate_limiter(1, 36000) end)

  test("who waits behind is let through in time", function(t)
    t.limit()
    local impatient = peri.spawn(peri.try_timeout, 10, t.limit)
    local patient = peri.spawn(t.limit)
    local _, passed, why = impatient:join()
    t.equal(passed, nil)
    t.equal(why, "timeout")
    patient:await()
    t.equal(t.elapsed(), 36000)
    t.run_until_idle()
  end)

  -- Once for each point where the function waits, and cancelled there: nothing may be lost, and nobody left behind.
  test("wherever it is cancelled, the turn is not lost", function(t)
    local points = t.cancel_everywhere(function()
      local limit = rate_limiter(1, 5)
      limit()
      limit()
    end, function()
      t.run_until_idle()
      t.assert_no_leaks()
    end)
    t.equal(points, 1)
  end)
end)

test("a second machine", { skip = "needs two of them" }, function() end)
