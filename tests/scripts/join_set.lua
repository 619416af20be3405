-- peri.join_set: tasks joined in the order in which they end.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function after(seconds, ...)
  peri.sleep(seconds)
  return ...
end

case("SCO-21: join_next gives members in the order of their ends, then nil", function()
  local set <close> = peri.join_set()
  local tasks = { set:spawn(after, 2, "b"), set:spawn(after, 3, "c", nil), set:spawn(after, 1, "a") }
  check.equal(#set, 3)
  check.same(table.pack(set:join_next()), table.pack(tasks[3], true, "a"))
  check.same(table.pack(set:join_next()), table.pack(tasks[1], true, "b"))
  check.same(table.pack(set:join_next()), table.pack(tasks[2], true, "c", nil))
  check.equal(#set, 0)
  check.equal(set:join_next(), nil)
end)

case("SCO-21: results iterates until the set is empty", function()
  local set <close> = peri.join_set()
  for i = 3, 1, -1 do set:spawn(after, i, i) end
  local seen = {}
  for task, ok, value in set:results() do
    seen[#seen + 1] = ok and value
    if value == 1 then set:spawn(after, 1.5, "late") end
    check.equal(task:status(), "returned")
  end
  check.same(seen, { 1, 2, "late", 3 })
end)

case("SCO-20, SCO-10: leaving the block cancels the members and waits for their closers", function()
  local start, closed = peri.now(), 0
  local function leave(how)
    local set <close> = peri.join_set()
    for _ = 1, 3 do
      set:spawn(function()
        local _ <close> = peri.defer(function() peri.sleep(1); closed = closed + 1 end)
        peri.sleep(60)
      end)
    end
    peri.yield()
    if how == "error" then error("left", 0) end
    return how
  end
  check.equal(leave("return"), "return")
  check.equal(closed, 3)
  check.raises("left", leave, "error")
  check.equal(closed, 6)
  for _ = 1, 2 do
    local set <close> = peri.join_set()
    set:spawn(peri.sleep, 60)
    break
  end
  check.equal(peri.now() - start, 2)
end)

case("SCO-22: a join_next that loses a select takes nothing", function()
  local set <close> = peri.join_set()
  local task = set:spawn(after, 2, "value")
  check.equal(peri.select { set:join_next_op(), peri.sleep_op(1) }, 2)
  check.equal(#set, 1)
  local key, member, ok, value = peri.select { set = set:join_next_op(), tick = peri.sleep_op(5) }
  check.same({ key, member, ok, value }, { "set", task, true, "value" })
  check.equal(#set, 0)
end)

case("CAN-32: a wait that was granted and is cancelled before it resumes takes nothing", function()
  local taken, left
  local owner = peri.spawn(function()
    local set = peri.join_set()
    set:spawn(peri.sleep, 1)
    local _ <close> = check.closer(function() left = #set end)
    taken = set:join_next()
  end)
  peri.sleep(1)
  owner:cancel()
  owner:join()
  check.equal(taken, nil)
  check.equal(left, 1)
end)

case("SCO-23: cancel every second of 16: 8 cancelled, 8 values", function()
  local set <close> = peri.join_set()
  local tasks, cancelled, sum = {}, 0, 0
  for i = 1, 16 do tasks[i] = set:spawn(after, 1, i) end
  peri.yield()
  for i = 1, 16, 2 do tasks[i]:cancel() end
  for _, ok, value in set:results() do
    if ok then sum = sum + value else cancelled = cancelled + (value.kind == "cancelled" and 1 or 0) end
  end
  check.equal(cancelled, 8)
  check.equal(sum, 72)
end)

case("SCO-25: join_all has an entry for each; a failure leaves the others alone", function()
  local set <close> = peri.join_set()
  set:spawn(after, 2, "slow", nil)
  set:spawn(error, "broken", 0)
  local all = set:join_all()
  check.equal(#all, 2)
  check.equal(all[1][1], false)
  check.equal(all[1][2].value, "broken")
  check.same(all[2], table.pack(true, "slow", nil))
  check.equal(#set, 0)
  check.same(set:join_all(), {})
end)

case:ordered("SCO-26: draining a thousand ended members lets others run", function()
  local set <close> = peri.join_set()
  for i = 1, 1000 do set:spawn(function() return i end) end
  peri.sleep(1)
  local turns = 0
  local other = peri.spawn(function() while true do turns = turns + 1; peri.yield() end end)
  for _ in set:results() do end
  other:cancel()
  other:join()
  check.truthy(turns >= 7, "at least seven turns")
end)

case("SCO-27: try_join_next never waits; the length tells nothing ended from nothing left", function()
  local set <close> = peri.join_set()
  local task = set:spawn(after, 1, 5)
  check.equal(set:try_join_next(), nil)
  check.equal(#set, 1)
  peri.sleep(2)
  check.same(table.pack(set:try_join_next()), table.pack(task, true, 5))
  check.equal(set:try_join_next(), nil)
  check.equal(#set, 0)
end)

case("SCO-15: only its owner joins and closes a set, and the error names it", function()
  local set <close> = peri.join_set()
  set:spawn(peri.sleep, 1)
  local _, e = peri.spawn(function() set:join_next() end):join()
  check.contains(tostring(e), "task " .. peri.self().id)
  _, e = peri.spawn(function() set:close() end):join()
  check.contains(tostring(e), "task " .. peri.self().id)
  check.equal(#set, 1)
end)

case("SCO-08: nothing can be spawned into a closed set, or one whose owner has ended", function()
  local set = peri.join_set()
  set:close()
  check.misuse("join set closed", function() set:spawn(print) end)
  local _, orphan = peri.spawn(function() return peri.join_set() end):join()
  check.misuse("join set closed", function() orphan:spawn(print) end)
end)

case("join set: cancel_all ends the members, the set goes on", function()
  local set <close> = peri.join_set()
  set:spawn(peri.sleep, 60)
  peri.yield()
  set:cancel_all("enough")
  set:spawn(after, 1, "new")
  local _, ok, e = set:join_next()
  check.same({ ok, e.kind, e.reason }, { false, "cancelled", "enough" })
  check.same({ select(2, set:join_next()) }, { true, "new" })
end)

case("join set: members are cancelled with the owner, wherever it is by then", function()
  local closed, start = 0, peri.now()
  local owner = peri.spawn(function()
    local set = peri.join_set()
    set:spawn(function()
      local _ <close> = peri.defer(function() peri.sleep(1); closed = closed + 1 end)
      peri.sleep(60)
    end)
    peri.sleep(60)
  end)
  peri.sleep(1)
  owner:cancel()
  check.equal(owner:join(), false)
  check.equal(closed, 1)
  check.equal(peri.now() - start, 2)
end)

case("join set: left open, its members are waited for like other children", function()
  local start = peri.now()
  local owner = peri.spawn(function()
    local set = peri.join_set()
    set:spawn(peri.sleep, 3)
    return "body"
  end)
  check.same(table.pack(owner:join()), table.pack(true, "body"))
  check.equal(peri.now() - start, 3)
end)

case("join set: collected, its members go on as children of the owner", function()
  local start, ended = peri.now(), false
  local owner = peri.spawn(function()
    peri.join_set():spawn(function() peri.sleep(2); ended = true end)
    collectgarbage()
    collectgarbage()
  end)
  owner:join()
  check.equal(ended, true)
  check.equal(peri.now() - start, 2)
end)

case("join set: a time limit around a wait does not reach members spawned meanwhile", function()
  local set <close> = peri.join_set()
  local first = set:spawn(function() set:spawn(after, 3, "second"); return after(2, "first") end)
  check.same(table.pack(peri.try_timeout(1, set.join_next, set)), table.pack(nil, "timeout"))
  check.same(table.pack(set:join_next()), table.pack(first, true, "first"))
  check.same({ select(2, set:join_next()) }, { true, "second" })
end)

case("join set: a set made inside a time limit is waited for when it passes", function()
  local start, closed = peri.now(), false
  check.equal(peri.try_timeout(1, function()
    local set = peri.join_set()
    set:spawn(function()
      local _ <close> = peri.defer(function() peri.sleep(1); closed = true end)
      peri.sleep(60)
    end)
    peri.sleep(60)
  end), nil)
  check.equal(closed, true)
  check.equal(peri.now() - start, 2)
end)

case("join set: a member that is detached leaves it, and ends the wait for the last one", function()
  local set <close> = peri.join_set()
  local task = set:spawn(after, 5, "free")
  peri.spawn(function() peri.sleep(1); task:detach() end)
  local start = peri.now()
  check.equal(set:join_next(), nil)
  check.equal(peri.now() - start, 1)
  check.same(table.pack(task:join()), table.pack(true, "free"))
end)

case("join set: a failure that nobody took is reported", function()
  local seen = {}
  peri.on_unobserved(function(_, e) seen[#seen + 1] = e.value end)
  do
    local set <close> = peri.join_set()
    set:spawn(error, "unread", 0)
    peri.sleep(1)
  end
  for _ = 1, 3 do collectgarbage(); peri.sleep(1) end
  peri.on_unobserved(nil)
  check.same(seen, { "unread" })
end)

case("spawn_keyed: replaces the running member of the key, which ends first", function()
  local note, taken = check.trace()
  local set <close> = peri.join_set()
  local function work(name)
    note("start " .. name)
    local _ <close> = peri.defer(function() peri.sleep(1); note("end " .. name) end)
    peri.sleep(10)
    return name
  end
  set:spawn_keyed("k", work, "a")
  peri.sleep(1)
  set:spawn_keyed("k", work, "b")
  set:spawn_keyed("k", work, "c")
  set:spawn_keyed("other", after, 0, "other")
  local kinds = {}
  for _, ok, e in set:results() do kinds[#kinds + 1] = ok and e or e.kind .. " " .. e.reason end
  check.same(kinds, { "cancelled replaced", "other", "cancelled replaced", "c" })
  check.equal(taken(), "start a end a start c end c")
end)

case("join set: misuse names what is wrong", function()
  local set <close> = peri.join_set()
  check.misuse("join set expected", function() set.spawn(print) end)
  check.misuse("function expected", function() set:spawn(1) end)
  check.misuse("key other than nil", function() set:spawn_keyed(nil, print) end)
  check.misuse("reason must be a string", function() set:cancel_all({}) end)
  check.misuse("table of options expected", function() peri.join_set(1) end)
  check.misuse("detached", function() set:spawn({ detached = true }, print) end)
end)
