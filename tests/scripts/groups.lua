-- peri.all, settle, race and map.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function after(seconds, ...)
  local values = table.pack(...)
  return function()
    peri.sleep(seconds)
    return table.unpack(values, 1, values.n)
  end
end

local function failing(seconds, value)
  return function()
    peri.sleep(seconds)
    error(value, 0)
  end
end

local function closing(note, word)
  return function()
    local _ <close> = peri.defer(function() peri.sleep(1); note(word) end)
    peri.sleep(60)
  end
end

case("all: one pack per function, in their order, nils kept", function()
  local start = peri.now()
  local list = peri.all { after(2, 1, nil), after(1), after(3, nil, "x", nil) }
  check.equal(peri.now() - start, 3)
  check.same(list, { n = 3, table.pack(1, nil), table.pack(), table.pack(nil, "x", nil) })
end)

case("JMC-02: all fails at the first failure; the others are cancelled and cleaned", function()
  local start, note, taken = peri.now(), check.trace()
  local ok, e = pcall(peri.all, { closing(note, "cleaned"), failing(1, "broken") })
  note("raised")
  check.equal(ok, false)
  check.kind(e, "group")
  check.equal(#e.errors, 1)
  check.equal(e.errors[1].value, "broken")
  check.equal(taken(), "cleaned raised")
  check.equal(peri.now() - start, 2)
end)

case("JMC-03: nil and a message are an ordinary result", function()
  check.same(peri.all { function() return nil, "bad" end }, { n = 1, table.pack(nil, "bad") })
end)

case("JMC-04: nothing to run returns at once", function()
  check.same(peri.all {}, { n = 0 })
  check.same(peri.settle {}, { n = 0 })
  check.same(peri.map({}, print), { n = 0 })
end)

case("JMC-01: settle runs all to their ends and has every outcome", function()
  local list = peri.settle { failing(1, "broken"), after(2, "fine", nil) }
  check.equal(list.n, 2)
  check.equal(list[1].n, 2)
  check.equal(list[1][1], false)
  check.equal(list[1][2].value, "broken")
  check.same(list[2], table.pack(true, "fine", nil))
end)

case("JMC-05: one that is always ready does not starve the others", function()
  local stop = false
  peri.all { function() while not stop do peri.yield() end end, function() for _ = 1, 100 do peri.yield() end stop = true end }
  check.equal(stop, true)
end)

case("SEL-17: race: the losers' closers have ended when it returns", function()
  local start, note, taken = peri.now(), check.trace()
  local results = table.pack(peri.race { closing(note, "loser"), after(1, "won", nil), failing(0.5, "early") })
  note("returned")
  check.same(results, table.pack(2, "won", nil))
  check.equal(taken(), "loser returned")
  check.equal(peri.now() - start, 2)
end)

case("race: all fail: a group of all; none: misuse", function()
  local _, e = pcall(peri.race, { failing(2, "b"), failing(1, "a") })
  check.kind(e, "group")
  check.same({ e.errors[1].value, e.errors[2].value }, { "a", "b" })
  check.misuse("no functions", function() peri.race({}) end)
end)

case:ordered("SCO-07: a group whose caller is cancelled is cancelled, not failed", function()
  for _, call in ipairs { "all", "settle", "race" } do
    local note, taken = check.trace()
    local task = peri.spawn(function() pcall(peri[call], { closing(note, "a"), closing(note, "b") }); note("never") end)
    peri.sleep(1)
    task:cancel()
    local _, e = task:join()
    check.kind(e, "cancelled")
    check.equal(taken(), "a b")
  end
end)

case("a function of a group that cancels itself gives no result: all and map fail", function()
  local function gone() peri.self():cancel("gone"); peri.sleep(1) end
  for _, e in ipairs { select(2, pcall(peri.all, { gone })), select(2, pcall(peri.map, { 1 }, gone)),
    select(2, pcall(peri.race, { gone })) } do
    check.kind(e, "group")
    check.kind(e.errors[1], "cancelled")
  end
  check.kind(peri.settle({ gone })[1][2], "cancelled")
end)

case("map: at most so many at a time, results in the order of the list", function()
  local running, peak, start = 0, 0, peri.now()
  local list = peri.map({ 3, 1, 2, 1, 1 }, function(seconds, ...)
    check.equal(select("#", ...), 0)
    running = running + 1
    peak = math.max(peak, running)
    peri.sleep(seconds)
    running = running - 1
    if seconds ~= 2 then return seconds * 10 end
  end, { concurrency = 2 })
  check.same(list, { n = 5, 30, 10, nil, 10, 10 })
  check.equal(peak, 2)
  check.equal(peri.now() - start, 4)
end)

case("map: the first failure cancels the rest, and no further one starts", function()
  local started, start = 0, peri.now()
  local _, e = pcall(peri.map, { 5, 1, 1, 1 }, function(seconds)
    started = started + 1
    peri.sleep(seconds)
    error("at " .. seconds, 0)
  end, { concurrency = 2 })
  check.kind(e, "group")
  check.equal(#e.errors, 1)
  check.equal(started, 2)
  check.equal(peri.now() - start, 1)
end)

case("map: unordered, values and indices come as they are there", function()
  local seen = {}
  for value, index in peri.map({ 3, 1, 2 }, function(s) peri.sleep(s); return s > 1 and s * 10 or nil end, { ordered = false }) do
    seen[#seen + 1] = { value, index }
  end
  check.same(seen, { { false, 2 }, { 20, 3 }, { 30, 1 } })
end)

case("map: leaving an unordered loop ends the rest", function()
  local note, taken = check.trace()
  for _ in peri.map({ 1, 2 }, function(s)
    if s == 1 then return s end
    closing(note, "closed")()
  end, { ordered = false }) do break end
  note("after")
  check.equal(taken(), "closed after")
end)

case("map: a failure ends an unordered loop with the group", function()
  local seen = {}
  local _, e = pcall(function()
    for v in peri.map({ 1, 2, 60 }, function(s) peri.sleep(s); return s == 2 and error("two", 0) or s end, { ordered = false }) do
      seen[#seen + 1] = v
    end
  end)
  check.kind(e, "group")
  check.equal(e.errors[1].value, "two")
  check.same(seen, { 1 })
end)

case("ISO-09: task-local data is inherited, and writes stay with their task", function()
  peri.data.user = "me"
  local list = peri.all {
    function() peri.data.user = "changed"; return peri.data.user end,
    function() peri.yield(); return peri.data.user end,
    function()
      local _ <close> = check.closer(function() peri.data.seen = peri.data.user end)
      return peri.data.user
    end,
  }
  check.same({ list[1][1], list[2][1], list[3][1], peri.data.user }, { "changed", "me", "me", "me" })
end)

case("groups: misuse is told at the caller's line", function()
  check.misuse("bad argument #1 to 'all' (a list of functions expected, got number)", function() peri.all(1) end)
  check.misuse("item 2 is a number", function() peri.settle { print, 2 } end)
  check.misuse("has the key a", function() peri.race { a = print } end)
  check.misuse("bad argument #1 to 'map'", function() peri.map(1, print) end)
  check.misuse("bad argument #2 to 'map'", function() peri.map({}, 1) end)
  check.misuse("concurrency", function() peri.map({}, print, { concurrency = 0 }) end)
  check.misuse("concurency", function() peri.map({}, print, { concurency = 1 }) end)
end)
