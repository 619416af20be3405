-- peri.supervisor: who is restarted, when, and how it ends.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function quiet() end

-- Children that note their starts and ends; `fails[name]` is the instant at which that child fails once.
local function crew(note, fails)
  local begun = peri.now()
  return function(name)
    return { name = name, start = function()
      note("+" .. name)
      local _ <close> = check.closer(function() note("-" .. name) end)
      local at = fails[name]
      fails[name] = nil
      if not at then peri.sleep(math.huge) end
      peri.sleep(begun + at - peri.now())
      error(name .. " broke", 0)
    end }
  end
end

local function run_for(seconds, opts)
  opts.on_failure = opts.on_failure or quiet
  local task = peri.supervisor(opts)
  peri.sleep(seconds)
  return task
end

local function stop(task)
  task:cancel()
  local _, e = task:join()
  check.kind(e, "cancelled")
end

case:ordered("SUP-01: one_for_one restarts only the child that failed", function()
  local note, taken = check.trace()
  local child = crew(note, { b = 1 })
  local task = run_for(2, { children = { child "a", child "b", child "c" } })
  check.equal(taken(), "+a +b +c -b +b")
  stop(task)
  check.equal(taken(), "-c -b -a")
end)

case:ordered("SUP-02: one_for_all stops all in reverse order and starts all in order", function()
  local note, taken = check.trace()
  local child = crew(note, { b = 1 })
  local task = run_for(2, { strategy = "one_for_all", children = { child "a", child "b", child "c" } })
  check.equal(taken(), "+a +b +c -b -c -a +a +b +c")
  stop(task)
end)

case:ordered("SUP-03: rest_for_one cycles only those started after it", function()
  local note, taken = check.trace()
  local child = crew(note, { b = 1 })
  local task = run_for(2, { strategy = "rest_for_one", children = { child "a", child "b", child "c", child "d" } })
  check.equal(taken(), "+a +b +c +d -b -d -c +b +c +d")
  stop(task)
end)

case("SUP-04: more failures than the intensity allows end the supervisor", function()
  local note, taken = check.trace()
  local count, start = 0, peri.now()
  local task = peri.supervisor { intensity = 1, period = 5, on_failure = quiet, children = {
    crew(note, {}) "steady",
    { name = "bad", start = function() peri.sleep(2); count = count + 1; error("again", 0) end },
  } }
  local ok, e = task:join()
  check.equal(ok, false)
  check.equal(e.reason, "restart intensity")
  check.contains(tostring(e), "again")
  check.equal(#e.errors, 2)
  check.equal(count, 2)
  check.equal(peri.now() - start, 4)
  check.equal(taken(), "+steady -steady")
end)

case:ordered("SUP-04: failures further apart than the period go on", function()
  local count = 0
  local task = run_for(60, { intensity = 1, period = 5, children = {
    { name = "slow", start = function() peri.sleep(6); count = count + 1; error("again", 0) end },
  } })
  check.equal(count, 9)
  stop(task)
end)

case:ordered("SUP-05: permanent always, transient only after an error, temporary never", function()
  local starts = {}
  local function child(name, restart, fn)
    return { name = name, restart = restart, start = function()
      starts[name] = (starts[name] or 0) + 1
      peri.sleep(1)
      if starts[name] == 1 then return fn() end
      peri.sleep(math.huge)
    end }
  end
  local function fails() error("broken", 0) end
  local failures = {}
  local task = run_for(5, { intensity = 9, on_failure = function(name) failures[#failures + 1] = name end, children = {
    child("permanent ends", "permanent", quiet), child("permanent fails", "permanent", fails),
    child("transient ends", "transient", quiet), child("transient fails", "transient", fails),
    child("temporary ends", "temporary", quiet), child("temporary fails", "temporary", fails),
  } })
  check.same(starts, { ["permanent ends"] = 2, ["permanent fails"] = 2, ["transient ends"] = 1, ["transient fails"] = 2,
    ["temporary ends"] = 1, ["temporary fails"] = 1 })
  check.same(failures, { "permanent fails", "transient fails", "temporary fails" })
  stop(task)
end)

case("SUP-05: a supervisor whose children have all ended for good returns", function()
  local task = peri.supervisor { children = { { name = "once", restart = "transient", start = peri.yield } } }
  check.same(table.pack(task:join()), table.pack(true))
end)

case("SUP-05: a supervisor ends wherever it is cancelled, also where it has hardly begun", function()
  check.cancel_everywhere(function()
    peri.supervisor({ children = { { name = "one", restart = "temporary", start = function() peri.sleep(10) end } } }):join()
  end)
end)

case("SUP-06: a child that outlives its shutdown time is killed, and the next one's turn comes", function()
  local note, taken = check.trace()
  local start = peri.now()
  local task = run_for(1, { children = {
    crew(note, {}) "first",
    { name = "stubborn", shutdown = 2, start = function()
      local _ <close> = check.closer(function() note("killed") end)
      peri.shield(peri.sleep, 1000)
    end },
  } })
  stop(task)
  check.equal(taken(), "+first killed -first")
  check.equal(peri.now() - start, 3)
end)

case("SUP-07: restarts after a pause that grows, at exact instants", function()
  local instants, start = {}, peri.now()
  local task = run_for(40, { intensity = 100, children = { { name = "flaky", backoff = { first = 1, max = 8 }, start = function()
    instants[#instants + 1] = peri.now() - start
    error("again", 0)
  end } } })
  check.same(instants, { 0, 1, 3, 7, 15, 23, 31, 39 })
  stop(task)
end)

case("SUP-07: and the pause is short again after a child that ran for the period", function()
  local instants, start, runs = {}, peri.now(), { 0, 0, 6, 0 }
  local task = run_for(60, { intensity = 100, period = 5, children = { { name = "flaky", backoff = { first = 1, max = 8 }, start = function()
    instants[#instants + 1] = peri.now() - start
    peri.sleep(runs[#instants] or 1000)
    error("again", 0)
  end } } })
  check.same(instants, { 0, 1, 3, 10, 12 })
  stop(task)
end)

case("SUP-08: any_significant: a significant child that ends takes the supervisor with it", function()
  local note, taken = check.trace()
  local start = peri.now()
  local task = peri.supervisor { auto_shutdown = "any_significant", children = {
    crew(note, {}) "other",
    { name = "main", restart = "transient", significant = true, start = function() peri.sleep(3) end },
  } }
  check.same(table.pack(task:join()), table.pack(true))
  check.equal(taken(), "+other -other")
  check.equal(peri.now() - start, 3)
end)

case("SUP-08: all_significant waits for the last of them", function()
  local start = peri.now()
  local function significant(seconds)
    return { restart = "temporary", significant = true, start = function() peri.sleep(seconds) end }
  end
  local task = peri.supervisor { auto_shutdown = "all_significant", children = {
    significant(2), significant(5), { start = function() peri.sleep(math.huge) end },
  } }
  check.equal(task:join(), true)
  check.equal(peri.now() - start, 5)
end)

case("supervisor: misuse is told at the caller's line", function()
  check.misuse("table of options", function() peri.supervisor(1) end)
  check.misuse("children", function() peri.supervisor({}) end)
  check.misuse([[bad option 'strategy' to 'supervisor' (one of "one_for_all", "one_for_one", "rest_for_one" expected, got all)]],
               function() peri.supervisor({ strategy = "all", children = {} }) end)
  check.misuse("bad option 'children[1].name' to 'supervisor' (a string expected, got number)",
               function() peri.supervisor({ children = { { name = 5, start = print } } }) end)
  check.misuse("children[1].start", function() peri.supervisor({ children = { {} } }) end)
  check.misuse("restart", function() peri.supervisor({ children = { { start = print, restart = "always" } } }) end)
end)
