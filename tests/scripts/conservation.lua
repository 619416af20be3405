-- Conservation: programs of channels, selects, locks, permits, intervals and scopes, each cancelled once at every one of its
-- suspension points. No value, permit, lock or place in a queue is lost or doubled.
local peri = require "perilune"
local test = require "perilune.test"

local permits <const> = 3

local world = {}
world.__index = world

-- The shapes of the programs follow from the number.
local function new_world(number)
  local state = number
  local function pick(most)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % most
  end
  local fields = { a = peri.channel(pick(3)), b = peri.channel(pick(2)), senders = 1 + pick(2), receivers = 1 + pick(3),
    values = 1 + pick(3), sent = {}, received = {}, inside = 0, out = 0, pick = pick,
    lock = peri.mutex(), permits = peri.semaphore(permits), ticks = peri.interval(0.5), waiting = 0 }
  fields.sending = fields.senders
  return setmetatable(fields, world)
end

-- A value counts as sent when its send has returned.
function world:send_values(sender)
  for i = 1, self.values do
    local value, done = sender * 100 + i, nil
    self.sent[value] = false
    if i % 2 == 0 then
      done = self.a:send(value)
    else
      local _
      _, done = peri.select { a = self.a:send_op(value), b = self.b:send_op(value) }
    end
    self.sent[value] = done
    if i % 3 == 0 then peri.yield() end
  end
  self.sending = self.sending - 1
  if self.sending == 0 then
    self.a:close()
    self.b:close()
  end
end

function world:take(value)
  if value == nil then return false end
  self.received[value] = (self.received[value] or 0) + 1
  return true
end

function world:receive_values(receiver)
  local arms = { a = self.a:recv_op(), b = self.b:recv_op(), tick = self.ticks:tick_op() }
  while arms.a or arms.b do
    local key, value = peri.select(arms)
    if key ~= "tick" and not self:take(value) then arms[key] = nil end
    if receiver % 2 == 0 and arms.a then
      if not self:take((self.a:recv())) then arms.a = nil end
    end
  end
end

function world:hold_lock()
  local guard <close> = self.lock:lock()
  self.inside = self.inside + 1
  test.equal(self.inside, 1)
  local _ <close> = peri.defer(function() self.inside = self.inside - 1 end)
  peri.sleep(0.3)
end

function world:hold_permits(count)
  local permit <close> = self.permits:acquire(count)
  self.out = self.out + count
  test.truthy(self.out <= permits, "no more permits than there are")
  local _ <close> = peri.defer(function() self.out = self.out - count end)
  peri.sleep(0.2)
end

-- Arms that lose, and arms that win and are let go.
function world:compete()
  for _ = 1, 2 do
    local _, held = peri.select { lock = self.lock:lock_op(), permit = self.permits:acquire_op(2), limit = peri.sleep_op(0.25) }
    if held then
      local _ <close> = held
      peri.yield()
    end
  end
end

function world:run()
  peri.scope(function(s)
    for i = 1, self.senders do s:spawn(self.send_values, self, i) end
    for i = 1, self.receivers do s:spawn(self.receive_values, self, i) end
    for i = 1, 2 do s:spawn(self.hold_lock, self) end
    for i = 1, permits do s:spawn(self.hold_permits, self, i) end
    s:spawn(self.compete, self)
    peri.try_timeout(0.4, self.hold_permits, self, 3)
  end)
end

function world:check_values()
  for _, ch in ipairs { self.a, self.b } do
    local stats = ch:stats()
    test.equal(stats.waiting_senders, 0)
    test.equal(stats.waiting_receivers, 0)
    while self:take((ch:try_recv())) do end
  end
  for value, done in pairs(self.sent) do
    test.equal(self.received[value] or 0, done and 1 or 0, "value " .. value)
  end
end

function world:check_locks()
  test.equal(self.inside, 0)
  test.equal(self.out, 0)
  test.equal(self.permits.available, permits)
  local guard <close> = test.truthy(self.lock:try_lock(), "the lock is free")
  local all <close> = self.permits:acquire(permits)
end

for number = 1, 12 do
  test("CAN-32: cancelled at every suspension, program " .. number .. " loses and doubles nothing", function(t)
    local w
    local points = t.cancel_everywhere(function()
      w = new_world(number)
      w:run()
    end, function(n)
      w:check_values()
      w:check_locks()
      if n == nil then
        for value in pairs(w.sent) do t.equal(w.received[value], 1) end
      end
    end)
    t.truthy(points > 10, "many points, got " .. points)
  end)
end
