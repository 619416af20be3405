-- The yield matrix: every place where Lua code may run, against everything that can happen there. Where Lua can suspend,
-- the task waits and goes on as if the place were not there; where it cannot, the wait raises at its own line, says what is
-- in the way, and the task is as sound as before. Either way errors and cancellations leave the place.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local here = debug.getinfo(1, "S").short_src
local unpack = table.unpack

local function with(metamethods) return setmetatable({}, metamethods) end

-- Places that Lua can suspend in: each runs `act` there, once, and returns when it has.
local open = {
  ["a task"] = function(act) act() end,
  ["a child task"] = function(act) peri.spawn(act):await() end,
  ["coroutine.resume"] = function(act)
    local co = coroutine.create(act)
    local ok, e = coroutine.resume(co)
    if not ok then error(e, 0) end
    check.equal(coroutine.status(co), "dead")
  end,
  ["coroutine.wrap"] = function(act) coroutine.wrap(act)() end,
  ["a generator that has yielded"] = function(act)
    local next = coroutine.wrap(function() coroutine.yield(1) act() coroutine.yield(2) return 3 end)
    check.same({ next(), next(), next() }, { 1, 2, 3 })
  end,
  ["coroutines in coroutines"] = function(act)
    for _ = 1, 20 do
      local inner = act
      act = function() coroutine.wrap(inner)() end
    end
    act()
  end,
  ["pcall"] = function(act)
    local ok, e = pcall(act)
    if not ok then error(e, 0) end
  end,
  ["xpcall"] = function(act)
    local ok, e = xpcall(act, function(raised) return raised end)
    if not ok then error(e, 0) end
  end,
  ["__index"] = function(act) return with { __index = function() act() return 1 end }.key end,
  ["__newindex"] = function(act) with { __newindex = act }.key = 1 end,
  ["__call"] = function(act) with { __call = act }() end,
  ["__add"] = function(act) return with { __add = function() act() return 1 end } + 1 end,
  ["__unm"] = function(act) return -with { __unm = function() act() return 1 end } end,
  ["__concat"] = function(act) return "a" .. with { __concat = function() act() return "b" end } .. "c" end,
  ["__len"] = function(act) return #with { __len = function() act() return 1 end } end,
  ["__eq"] = function(act)
    local meta = { __eq = function() act() return true end }
    return with(meta) == with(meta)
  end,
  ["__lt"] = function(act) return with { __lt = function() act() return true end } < 1 end,
  ["__le"] = function(act) return with { __le = function() act() return true end } <= 1 end,
  ["__close"] = function(act) local _ <close> = check.closer(function() act() end) end,
  ["__close during an error"] = function(act)
    local told
    check.raises("the first", function()
      local _ <close> = check.closer(function() told = table.pack(pcall(act)) end)
      error("the first", 0)
    end)
    if not told[1] then error(told[2], 0) end
  end,
  ["__close of a loop that is left"] = function(act)
    for _ in next, { 1, 2 }, nil, check.closer(function() act() end) do break end
  end,
  ["__pairs"] = function(act)
    for _ in pairs(with { __pairs = function(t) act() return next, t end }) do error("no fields") end
  end,
  ["a loop's iterator"] = function(act)
    for i in function(_, last) if not last then act() return 1 end end do check.equal(i, 1) end
  end,
  ["a loaded chunk"] = function(act) load("(...)()")(act) end,
  ["require"] = function(act)
    package.preload["yield_matrix.module"] = function() act() return "loaded" end
    local _ <close> = check.closer(function() package.loaded["yield_matrix.module"] = nil end)
    check.equal(require "yield_matrix.module", "loaded")
  end,
  ["a searcher of require"] = function(act)
    local function searcher() act() return function() return "found" end end
    table.insert(package.searchers, searcher)
    local _ <close> = check.closer(function()
      package.loaded["yield_matrix.found"] = nil
      check.equal(table.remove(package.searchers), searcher)
    end)
    check.equal(require "yield_matrix.found", "found")
  end,
  ["dofile"] = function(act)
    local path = os.tmpname()
    local file <close> = io.open(path, "w")
    file:write("yield_matrix_act()")
    file:close()
    yield_matrix_act = act
    local _ <close> = check.closer(function() os.remove(path) end)
    dofile(path)
  end,
  ["peri.scope"] = function(act) peri.scope(function() act() end) end,
  ["a member of a scope"] = function(act) peri.scope(function(s) s:spawn(act) end) end,
  ["peri.timeout"] = function(act) peri.timeout(100, act) end,
  ["peri.try_timeout"] = function(act) peri.try_timeout(100, act) end,
  ["peri.with_token"] = function(act) peri.with_token(peri.token(), act) end,
  ["peri.defer"] = function(act) local _ <close> = peri.defer(function() act() end) end,
  ["coroutine.close"] = function(act)
    local co = coroutine.create(function()
      local _ <close> = check.closer(function() act() end)
      coroutine.yield()
    end)
    coroutine.resume(co)
    local ok, e = coroutine.close(co)
    if not ok then error(e, 0) end
  end,
  ["op:wrap"] = function(act) peri.perform(peri.sleep_op(0):wrap(function() act() return 1 end)) end,
  ["op:wrap in a choice"] = function(act)
    peri.select { peri.choose { peri.sleep_op(0):wrap(act) }, peri.sleep_op(10) }
  end,
}

-- Places it cannot, with the name each is told by.
local shut = {
  ["table.sort"] = function(act) table.sort({ 1, 2 }, function(a, b) act() return a < b end) end,
  ["string.gsub"] = function(act) string.gsub("a", "a", function() act() end) end,
  ["tostring"] = function(act) tostring(with { __tostring = function() act() return "" end }) end,
  ["print"] = function(act)
    local write = io.stdout
    print(with { __tostring = function() act() error("unprinted", 0) end }, write)
  end,
  ["string.format"] = function(act) string.format("%s", with { __tostring = function() act() return "" end }) end,
  ["load"] = function(act)
    local parts = { "return 1" }
    load(function() act() return table.remove(parts) end)
  end,
  ["table.concat"] = function(act)
    table.concat(with { __index = function() act() return "" end, __len = function() return 1 end })
  end,
  ["table.unpack"] = function(act) unpack(with { __index = function() act() end }, 1, 1) end,
  ["ipairs"] = function(act) for _ in ipairs(with { __index = function() act() end }) do error("no elements") end end,
  ["a message handler (xpcall)"] = function(act) xpcall(error, function(e) act() return e end, "x") end,
  ["peri.critical"] = function(act) peri.critical(act) end,
  ["a finalizer (__gc)"] = function(act)
    with { __gc = function() act() end }
    collectgarbage()
  end,
}
-- The iterator of ipairs has no name of its own.
local told_as = { ipairs = "" }

-- A coroutine inside such a place is no way out of it.
for _, name in ipairs { "table.sort", "string.gsub", "tostring", "peri.critical", "a message handler (xpcall)" } do
  local inside = "coroutine in " .. name
  shut[inside] = function(act) shut[name](function() coroutine.wrap(act)() end) end
  told_as[inside] = name
end

-- What waits; each gives "done", and needs somebody else to run meanwhile.
local feed, full = peri.channel(0), peri.channel(1)
local waits = {
  sleep = function() peri.sleep(0.01) return "done" end,
  yield = function()
    local ran = false
    peri.spawn(function() ran = true end)
    peri.yield()
    return ran and "done"
  end,
  recv = function() return feed:recv() end,
  send = function()
    full:try_send(0)
    local sent = full:send(1)
    return sent and full:recv() == 1 and "done"
  end,
  join = function() return select(2, peri.spawn(function() peri.sleep(0.01) return "done" end):join()) end,
  join_limited = function() return select(2, peri.spawn(function() peri.sleep(0.01) return "done" end):join(5)) end,
  await = function() return peri.spawn(function() return "done" end):await() end,
  select = function() return select(2, peri.select { peri.sleep_op(5), feed:recv_op() }) end,
  perform = function() return peri.perform(peri.sleep_op(0.01):wrap(function() return "done" end)) end,
  token = function()
    local token = peri.token()
    peri.spawn(function() token:cancel("done") end)
    return token:wait()
  end,
}
local function helpers()
  peri.spawn({ daemon = true }, function() while true do feed:send("done") end end)
  peri.spawn({ daemon = true }, function() while true do peri.sleep(0.01) full:try_recv() end end)
end

local function sound()
  check.equal(peri.cancel_requested(), false)
  check.equal(peri.time_left(), math.huge)
  check.equal(select(2, pcall(error, "caught")), "caught")
  check.equal(waits.recv(), "done")
  check.equal(waits.sleep(), "done")
  check.equal(coroutine.wrap(waits.await)(), "done")
  check.equal(peri.timeout(1, waits.join), "done")
end

local names = {}
for name in pairs(waits) do names[#names + 1] = name end
table.sort(names)

local function sorted(places)
  local list = {}
  for name in pairs(places) do list[#list + 1] = name end
  table.sort(list)
  return list
end

for _, place in ipairs(sorted(open)) do
  case("ISO-01: in " .. place .. " a task can wait for anything", function()
    helpers()
    for _, wait in ipairs(names) do
      local times, got = 0, nil
      open[place](function()
        times = times + 1
        got = waits[wait]()
      end)
      check.same({ wait, times, got }, { wait, 1, "done" })
    end
    sound()
  end)

  case("an error leaves " .. place .. " as it was raised, also after a wait", function()
    helpers()
    for _, wait in ipairs { "none", "sleep", "recv" } do
      local value = setmetatable({}, { __tostring = function() return "raised" end })
      local ok, e = pcall(open[place], function()
        if waits[wait] then waits[wait]() end
        error(value)
      end)
      check.equal(ok, false)
      while peri.is_error(e) do e = e.errors and e.errors[1] or e.value end
      check.equal(e, value)
      sound()
    end
  end)

  case("CAN-10: a cancellation that arrives in " .. place .. " ends the task", function()
    helpers()
    for _, wait in ipairs { "sleep", "recv", "join", "select", "perform" } do
      local began, went_on, closed = false, false, 0
      local task = peri.spawn(function()
        local _ <close> = check.closer(function() closed = closed + 1 end)
        pcall(open[place], function()
          began = true
          pcall(waits[wait] == waits.sleep and peri.sleep or waits[wait], 1000)
          if wait ~= "sleep" then peri.sleep(1000) end
        end)
        peri.sleep(0)
        went_on = true
      end)
      peri.sleep(0.001)
      check.equal(began, true)
      task:cancel("enough")
      local ok, e = task:join()
      check.equal(ok, false)
      check.kind(e, "cancelled")
      check.same({ went_on, closed }, { false, 1 })
    end
    sound()
  end)
end

for _, place in ipairs(sorted(shut)) do
  local named = told_as[place] or place
  case("ISO-03: in " .. place .. " a wait raises at its own line, and the task stays sound", function()
    for _, wait in ipairs(names) do
      local told
      pcall(shut[place], function()
        local ok, e = pcall(waits[wait])
        told = told or (ok and wait .. " did wait" or tostring(e))
      end)
      check.contains(told, here .. ":")
      check.contains(told, "cannot suspend inside " .. named)
    end
    helpers()
    sound()
  end)

  case("ISO-05: the error of a wait in " .. place .. " leaves it like any other", function()
    local ok, e = pcall(shut[place], waits.sleep)
    if place ~= "load" and not place:find("finalizer") and not place:find("handler") then
      check.equal(ok, false)
      check.contains(tostring(e), "cannot suspend inside " .. named)
    end
    check.lacks(tostring(e), "error handling")
    helpers()
    sound()
  end)

  case("what needs no waiting works in " .. place, function()
    local ch = peri.channel(1)
    local got
    local settled = peri.spawn(function() return "settled" end)
    peri.yield()
    pcall(shut[place], function()
      got = got or { ch:send("a"), ch:recv(), ch:try_recv(), select(2, settled:join()), peri.spawn(function() end):status() }
    end)
    check.same(got, { true, "a", nil, "settled", "ready" })
  end)

  case("a cancellation waits until " .. place .. " is left", function()
    local after = false
    local ran = false
    local task = peri.spawn(function()
      pcall(shut[place], function()
        ran = true
        peri.self():cancel("from inside")
      end)
      after = true
      peri.sleep(0)
      ran = false
    end)
    check.kind(select(2, task:join()), "cancelled")
    check.same({ ran, after }, { true, true })
  end)
end

case("coroutine.yield in a place that cannot suspend raises Lua's own error", function()
  local co = coroutine.wrap(function()
    table.sort({ 1, 2 }, function(a, b) coroutine.yield() return a < b end)
  end)
  helpers()
  check.raises("attempt to yield across a C-call boundary", co)
  sound()
end)

case("coroutine.yield from a task's own body raises", function()
  check.raises("attempt to yield from outside a coroutine", coroutine.yield)
end)
