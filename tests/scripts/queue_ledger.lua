-- The ledger of perilune.queue: what counts of several deliveries, whoever holds them.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local db = require "perilune.db"
local queue = require "perilune.queue"

local function delivery(id, sequence, deliveries)
  return { id = id, token = sequence << 16 | deliveries, value = id, queue = { name = "q" } }
end

case("the first result counts, and later deliveries are given it", function()
  local file <close> = db.open(":memory:")
  local ledger = queue.ledger(file)
  local runs = 0
  local function work(value)
    runs = runs + 1
    return { value, runs }
  end
  same({ ledger:once(delivery("a", 1, 1), work) }, { true, { "a", 1 } })
  same({ ledger:once(delivery("a", 1, 2), work) }, { true, { "a", 1 } })
  same({ ledger:once(delivery("a", 9, 1), work) }, { true, { "a", 1 } })
  same({ ledger:once(delivery("b", 2, 1), function() end) }, { true, nil })
  same({ ledger:once(delivery("b", 2, 2), error) }, { true, nil })
  same({ ledger:result(delivery("a", 1, 3)) }, { true, { "a", 1 } })
  same({ ledger:result(delivery("c", 1, 3)) }, { false })
  equal(runs, 1)
end)

case("who holds an older delivery is refused", function()
  local file <close> = db.open(":memory:")
  local ledger = queue.ledger(file)
  local old, new = delivery("a", 1, 1), delivery("a", 1, 2)
  same({ ledger:once(old, function()
    same({ ledger:once(new, function() return "new" end) }, { true, "new" })
    return "old"
  end) }, { true, "new" })
  old, new = delivery("b", 1, 1), delivery("b", 1, 2)
  same({ ledger:once(new, function()
    same({ ledger:once(old, error) }, { nil, "stale" })
    same({ ledger:commit(old, 1) }, { nil, "stale" })
    return "new"
  end) }, { true, "new" })
  same({ ledger:commit(old, 1) }, { nil, "counted" })
  same({ ledger:commit(new, "new") }, { nil, "counted" })
  same({ ledger:result(old) }, { true, "new" })
end)

case("what fails or is cancelled does not count", function()
  local file <close> = db.open(":memory:")
  local ledger = queue.ledger(file)
  equal(pcall(ledger.once, ledger, delivery("a", 1, 1), error), false)
  check.cancelled(function() ledger:once(delivery("a", 1, 2), function() peri.sleep(10) end) end)
  equal(ledger:result(delivery("a", 1, 2)), false)
  same({ ledger:once(delivery("a", 1, 3), function() return 1 end) }, { true, 1 })
end)

case("old results are forgotten when that is asked for", function()
  local file <close> = db.open(":memory:")
  local ledger = queue.ledger(file)
  ledger:commit(delivery("a", 1, 1), 1)
  equal(ledger:prune(1000), 0)
  file:exec("UPDATE perilune_ledger SET counted = counted - 2000")
  equal(ledger:prune(1000), 1)
  equal(ledger:result(delivery("a", 1, 1)), false)
end)

case("random deliveries of many holders: one result for each, of the newest that was seen", function()
  math.randomseed(3)
  for _ = 1, 50 do
    local file <close> = db.open(":memory:")
    local ledger = queue.ledger(file)
    local counted, newest, tasks = {}, {}, {}
    for n = 1, 30 do
      local message = delivery("m" .. math.random(4), 1, math.random(8))
      tasks[n] = peri.spawn(function()
        peri.sleep(math.random())
        local before = counted[message.id]
        local stale = before == nil and (newest[message.id] or 0) > message.token
        newest[message.id] = math.max(newest[message.id] or 0, before == nil and message.token or 0)
        local ok, result = ledger:once(message, function()
          peri.sleep(math.random())
          return n
        end)
        if before ~= nil then same({ ok, result }, { true, before }) end
        if stale then same({ ok, result }, { nil, "stale" }) end
        if ok then
          counted[message.id] = counted[message.id] or result
          equal(result, counted[message.id])
        end
      end)
      if math.random(5) == 1 then peri.spawn(function() peri.sleep(math.random()) tasks[n]:cancel() end) end
    end
    for _, task in ipairs(tasks) do
      local ok, e = task:join()
      if not ok and not peri.is_error(e, "cancelled") then error(e, 0) end
    end
  end
end)

case("misuse is told at the caller's line", function()
  local file <close> = db.open(":memory:")
  local ledger = queue.ledger(file)
  misuse("bad argument #1 to 'ledger'", function() queue.ledger(3) end)
  misuse("bad argument #1 to 'once'", function() ledger:once({}, print) end)
  misuse("bad argument #2 to 'once'", function() ledger:once(delivery("a", 1, 1), 3) end)
  misuse("bad result to 'commit'", function() ledger:commit(delivery("a", 1, 1), print) end)
  misuse("call it with ':'", function() ledger.commit(delivery("a", 1, 1), 1) end)
  misuse("bad argument #1 to 'prune'", function() ledger:prune("x") end)
  misuse("bad option 'name' to 'open'", function() queue.open { name = "a b" } end)
  misuse("bad option 'ack_wait' to 'open'", function() queue.open { name = "a", ack_wait = 0 } end)
  misuse("bad option 'max_deliver' to 'open'", function() queue.open { name = "a", max_deliver = 0 } end)
  misuse("bad option 'storage' to 'open'", function() queue.open { name = "a", storage = "x" } end)
  misuse("bad option 'client' to 'open'", function() queue.open { name = "a", client = 3 } end)
  misuse("bad option 'url' to 'open'", function() queue.open { name = "a", url = "x y" } end)
  misuse("unknown option 'nam'", function() queue.open { nam = "a" } end)
end)
