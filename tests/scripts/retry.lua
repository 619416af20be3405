-- peri.retry: attempts, pauses and what is raised in the end.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- A function that fails so many times, and the instants of its calls.
local function flaky(failures)
  local instants, start = {}, peri.now()
  return function(...)
    instants[#instants + 1] = peri.now() - start
    if #instants <= failures then error("failure " .. #instants, 0) end
    return ...
  end, instants
end

case("retry: returns what the first success returns, nils kept", function()
  local fn, instants = flaky(2)
  check.same(table.pack(peri.retry({ attempts = 3 }, fn, 1, nil, 3, nil)), table.pack(1, nil, 3, nil))
  check.equal(#instants, 3)
end)

case("retry: exact instants: doubled, and never above the most", function()
  local fn, instants = flaky(5)
  peri.retry({ attempts = 6, backoff = { first = 1, max = 5 } }, fn)
  check.same(instants, { 0, 1, 3, 7, 12, 17 })
  fn, instants = flaky(3)
  peri.retry({ attempts = 4, backoff = { 1, 100 }, factor = 3 }, fn)
  check.same(instants, { 0, 1, 4, 13 })
end)

case("retry: jitter shortens pauses, and the same seed draws the same", function()
  local fn, instants = flaky(20)
  peri.retry({ attempts = 21, backoff = { first = 1, max = 1 }, jitter = 0.5 }, fn)
  local different = false
  for i = 2, #instants do
    local pause = instants[i] - instants[i - 1]
    check.truthy(pause > 0.49 and pause < 1.01, "a pause from 0.5 to 1")
    different = different or math.abs(pause - (instants[2] - instants[1])) > 0.01
  end
  check.truthy(different, "pauses that differ")
end)

case("retry: the last error is raised, with the earlier ones suppressed by it", function()
  local ok, e = pcall(peri.retry, { attempts = 3 }, flaky(9))
  check.equal(ok, false)
  check.kind(e, "error")
  check.equal(e.value, "failure 3")
  check.equal(tostring(e), "failure 3")
  check.same(e.suppressed, { "failure 1", "failure 2" })
end)

case("retry: one attempt raises the very value", function()
  local value = {}
  local _, e = pcall(peri.retry, { attempts = 1 }, error, value)
  check.equal(e, value)
end)

case("retry: retry_if decides, with the error and the number of the attempt", function()
  local seen = {}
  local _, e = pcall(peri.retry, { attempts = 9, retry_if = function(why, attempt)
    seen[#seen + 1] = attempt .. " " .. why
    return attempt < 2
  end }, flaky(9))
  check.same(seen, { "1 failure 1", "2 failure 2" })
  check.equal(e.value, "failure 2")
end)

case("retry: cancellation is never retried", function()
  local calls = 0
  local task = peri.spawn(peri.retry, { attempts = 5, backoff = { first = 1 } }, function() calls = calls + 1; peri.sleep(60) end)
  peri.sleep(1)
  task:cancel()
  local _, e = task:join()
  check.kind(e, "cancelled")
  check.equal(calls, 1)
end)

case("retry: cancelled in a pause, it does not try again", function()
  local fn, instants = flaky(9)
  local task = peri.spawn(peri.retry, { attempts = 5, backoff = { first = 10 } }, fn)
  peri.sleep(1)
  task:cancel()
  check.kind(select(2, task:join()), "cancelled")
  check.equal(#instants, 1)
end)

case("retry: a time limit inside is an error like any other", function()
  local calls = 0
  check.equal(peri.retry({ attempts = 2 }, function()
    calls = calls + 1
    if calls == 1 then peri.timeout(1, peri.sleep, 60) end
    return "second"
  end), "second")
  local _, e = pcall(peri.retry, { attempts = 2 }, peri.timeout, 1, peri.sleep, 60)
  check.kind(e, "timeout")
  check.equal(#e.suppressed, 1)
end)

case("retry: misuse is told at the caller's line", function()
  check.misuse("bad argument #1 to 'retry'", function() peri.retry(print) end)
  check.misuse("bad argument #2 to 'retry'", function() peri.retry({}) end)
  check.misuse("attempts", function() peri.retry({ attempts = 0 }, print) end)
  check.misuse("atempts", function() peri.retry({ atempts = 1 }, print) end)
  check.misuse("jitter", function() peri.retry({ backoff = 1, jitter = 2 }, print) end)
  check.misuse("factor", function() peri.retry({ backoff = 1, factor = 0 }, print) end)
end)
