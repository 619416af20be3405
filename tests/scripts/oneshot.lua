-- peri.oneshot: one value, sent once.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function waits(task)
  peri.yield()
  check.equal(task:status(), "waiting")
end

case("ONE-01: a second send is misuse at its line", function()
  local o = peri.oneshot()
  check.equal(o:send(1), true)
  check.misuse("it is sent once", function() o:send(2) end)
  check.equal(o:recv(), 1)
  check.misuse("it is sent once", function() o:send(3) end)
end)

case("ONE-02: closed without a value, recv ends instead of hanging", function()
  local o = peri.oneshot()
  local before = peri.spawn(o.recv, o)
  waits(before)
  o:close()
  check.same({ before:await() }, { nil, "closed" })
  check.same({ o:recv() }, { nil, "closed" })
  check.same({ o:try_recv() }, { nil, "closed" })
  o:close()
end)

case("ONE-03: the receiver is gone: the value stays with its sender", function()
  local o = peri.oneshot()
  o:close()
  for _ = 1, 2 do check.same({ o:send {} }, { nil, "closed" }) end
  check.same(o:stats(), { sent = false, received = false, closed = true, waiting_receivers = 0 })
end)

case("ONE-03: leaving the block closes", function()
  local kept
  do
    local o <close> = peri.oneshot()
    kept = o
  end
  check.same({ kept:send(1) }, { nil, "closed" })
end)

case("CHN-05: what was sent before the close is still received, once", function()
  local o = peri.oneshot()
  o:send(false)
  o:close()
  check.equal(o:recv(), false)
  check.same({ o:recv() }, { nil, "closed" })
end)

case("ONE-05: recv in a select loses to a timer: the value still arrives", function()
  local o = peri.oneshot()
  check.equal(peri.select { value = o:recv_op(), late = peri.sleep_op(1) }, "late")
  check.equal(o:stats().waiting_receivers, 0)
  o:send("here")
  check.same({ peri.select { value = o:recv_op(), late = peri.sleep_op(1) } }, { "value", "here" })
end)

case("ONE-06: a worker that selects on closed_op stops when the requester gives up", function()
  local o, steps = peri.oneshot(), 0
  local worker = peri.spawn(function()
    while peri.select { gone = o:closed_op(), step = peri.sleep_op(1) } == "step" do steps = steps + 1 end
    return o:send(steps)
  end)
  check.same({ peri.try_timeout(3.5, o.recv, o) }, { nil, "timeout" })
  check.equal(worker:status(), "waiting")
  o:close()
  check.same({ worker:await() }, { nil, "closed" })
  check.equal(steps, 3)
end)

case("ONE-06: closed_op waits while a value is on its way, and sees its receiver", function()
  local o = peri.oneshot()
  local ended = peri.spawn(peri.perform, o:closed_op())
  o:send(1)
  waits(ended)
  check.equal(o:recv(), 1)
  check.equal(ended:await(), true)
end)

case:ordered("CAN-32: a receiver cancelled before it resumes leaves the value to the next", function()
  local o = peri.oneshot()
  local first, second, third = peri.spawn(o.recv, o), peri.spawn(o.recv, o), peri.spawn(o.recv, o)
  waits(third)
  o:send("v")
  check.same({ o:try_recv() }, { nil, "empty" }) -- it is promised
  first:cancel()
  check.equal((first:join()), false)
  check.equal(second:await(), "v")
  check.same({ third:await() }, { nil, "closed" })
end)

case("CAN-32: a select cancelled with the value granted puts it back", function()
  local o = peri.oneshot()
  local selecting = peri.spawn(peri.select, { o:recv_op(), o:recv_op(), peri.sleep_op(9) })
  waits(selecting)
  o:send("v")
  selecting:cancel()
  check.equal((selecting:join()), false)
  check.equal(o:recv(), "v")
end)

case("ONE-07: a value nobody receives is collected once", function()
  local collected = 0
  do
    local o = peri.oneshot()
    o:send(setmetatable({}, { __gc = function() collected = collected + 1 end }))
    o:close()
  end
  collectgarbage()
  collectgarbage()
  check.equal(collected, 1)
end)

case("ONE-07: a value that was received is not kept", function()
  local o = peri.oneshot()
  local weak = setmetatable({ {} }, { __mode = "v" })
  o:send(weak[1])
  o:recv()
  collectgarbage()
  check.equal(weak[1], nil)
end)

case("misuse names the argument", function()
  local o = peri.oneshot()
  check.misuse("bad argument #2 to 'send' (nil is not a message", function() o.send(o, nil) end)
  check.misuse("a oneshot expected", function() o.recv(1) end)
end)

case("OBS-01: waits are shown with verb and resource", function()
  local o = peri.oneshot()
  local waiting = { peri.spawn(o.recv, o), peri.spawn(peri.perform, o:closed_op()) }
  peri.yield()
  check.contains(peri.dump(), "in recv on a oneshot")
  check.equal(o:stats().waiting_receivers, 1)
  o:close()
  for _, task in ipairs(waiting) do task:join() end
end)

-- What a oneshot does, plainly.
local function new_model() return { queue = {}, outcomes = {}, ended = {} } end

local function settle(model)
  if model.value ~= nil and #model.queue > 0 then
    model.outcomes[table.remove(model.queue, 1)] = model.value
    model.value, model.received = nil, true
  end
  if model.value == nil and (model.received or model.closed) then
    for _, id in ipairs(model.queue) do model.outcomes[id] = "closed" end
    model.queue = {}
  end
end

local function run_model(seed)
  math.randomseed(seed)
  local o, model, tasks, seen = peri.oneshot(), new_model(), {}, {}
  local steps = {
    function()
      local id = #tasks + 1
      tasks[id] = peri.spawn(function()
        local v, why = o:recv()
        seen[id] = v or why
      end)
      peri.yield()
      table.insert(model.queue, id)
      settle(model)
    end,
    function()
      if model.sent then return end
      local sent = o:send("v")
      check.equal(sent, not model.closed or nil)
      if sent then model.value, model.sent = "v", true end
    end,
    function()
      if #model.queue == 0 then return end
      local id = table.remove(model.queue, math.random(#model.queue)) -- also one that was promised the value
      tasks[id]:cancel()
      model.outcomes[id], seen[id] = "cancelled", "cancelled"
    end,
    function()
      if math.random(4) == 1 then o:close(); model.closed = true end
    end,
  }
  for _ = 1, 12 do
    for _ = 1, math.random(1, 3) do
      local step = steps[math.random(#steps)]
      if step == steps[1] then settle(model) end -- spawning yields
      step()
    end
    settle(model)
    peri.yield()
    peri.yield() -- the others learn of the end when the value has been taken
    check.same(seen, model.outcomes)
    local stats = o:stats()
    check.equal(stats.waiting_receivers, #model.queue)
    check.equal(stats.received, model.received or false)
  end
  o:close()
  model.closed = true
  settle(model)
  peri.yield()
  peri.yield()
  check.same(seen, model.outcomes)
end

case("ONE-07: random operations and cancels agree with a model", function()
  for seed = 1, 300 do run_model(seed) end
end)
