-- workers: 3
-- All at once, at random: spawns, cancels, calls on workers, pool and threads, channels, permits, tokens and buffers between
-- them. What must hold in the end: nothing lost, nothing doubled, every permit back, every failure one that was asked for.
-- usage: perilune run --workers N stress.lua [SECONDS [SEED]]
local peri = require "perilune"

local seconds, seed = tonumber(arg[1] or 2), math.tointeger(tonumber(arg[2] or 1))
math.randomseed(seed)

local jobs = peri.shared_channel(16, "jobs")
local results = peri.shared_channel(16, "results")
local permits = peri.semaphore(4)
local stop = peri.token()
local settings = peri.shared { factor = 3, names = { "a", "b", "c" } }
local begun = peri.now()
local asked_for = { cancelled = true, timeout = true }

local function check(ok, what) if not ok then error(what, 2) end end

-- Runs on other workers and threads: takes jobs until the channel ends, each under a permit.
local function serve(input, output, sem, facts, chance)
  local random = math.random
  while true do
    local job = input:recv()
    if job == nil then return true end
    do
      local permit <close> = sem:acquire(random(2))
      if random() < chance then (require "perilune").sleep(random() * 0.0003) end
    end
    output:send { id = job.id, value = job.value * facts.factor, bytes = job.bytes }
  end
end

-- Something short that is cancelled, or given a limit, at a random moment.
local function disturbed(fn)
  local how = math.random(3)
  if how == 1 then
    local ok, e = pcall(peri.timeout, math.random() * 0.002, fn)
    check(ok or asked_for[e.kind], tostring(e))
    return
  end
  local t = peri.spawn(fn)
  if how == 2 then
    peri.sleep(math.random() * 0.001)
    t:cancel("disturbed")
  end
  local ok, e = t:join()
  check(ok or asked_for[e.kind], tostring(e))
end

local kinds = {
  function() peri.parallel(function(n) local peri = require "perilune" peri.sleep(n) return n end, math.random() * 0.001):await() end,
  function() check(peri.blocking(function(list) return #list end, { 1, 2, 3 }):await() == 3, "blocking") end,
  function()
    local far = peri.parallel(function(s) local p <close> = s:acquire(); (require "perilune").sleep(0.0002) return true end, permits)
    if math.random(2) == 1 then far:cancel() end
    local ok, e = far:join()
    check(ok or asked_for[e.kind], tostring(e))
  end,
  function()
    local child = peri.spawn(peri.sleep, math.random() * 0.002)
    local ok = peri.parallel(function(t) if math.random(2) == 1 then t:cancel("from afar") end return (t:join()) end, child):await()
    check(ok == (child:status() == "returned"), "joined otherwise than it ended")
  end,
  function()
    local ch = peri.shared_channel(0)
    local key = peri.select { a = ch:recv_op(), b = ch:send_op { 1 }, c = stop:wait_op(), t = peri.sleep_op(math.random() * 0.0005) }
    check(key == "t" or key == "c", "a channel that nobody has was served")
  end,
  function()
    local tok = peri.token()
    local far = peri.parallel(function(t) return t:wait() end, tok)
    peri.sleep(math.random() * 0.0005)
    tok:cancel("over")
    check(far:await() == "over", "token")
  end,
  function()
    local t = peri.thread({ name = "short" }, function(b) return b:append("!") end, peri.buffer("abc"))
    if math.random(4) == 1 then t:cancel() end
    local ok, b = t:join()
    check(ok and tostring(b) == "abc!" or asked_for[b.kind], "thread")
  end,
  function()
    local sum = 0
    for _, v in ipairs(peri.pmap({ 1, 2, 3, 4 }, function(v) return v * settings.factor end, { chunk = 1 })) do sum = sum + v end
    check(sum == 30, "pmap")
  end,
  function()
    local mine = peri.channel(2)
    local t = peri.spawn(function() for i = 1, 5 do mine:send(i) end mine:close() end)
    local n = 0
    for _ in mine:iter() do n = n + 1 end
    t:await()
    check(n == 5, "local channel")
  end,
}

local servers = {}
for w = 1, peri.workers() do servers[w] = peri.parallel({ worker = w }, serve, jobs, results, permits, settings, 0.3) end
servers[#servers + 1] = peri.thread({ name = "server", daemon = false }, serve, jobs, results, permits, settings, 0.3)

local sent, got = 0, {}
local sender = peri.spawn(function()
  while not stop:is_cancelled() do
    local job = { id = sent + 1, value = sent + 1, bytes = math.random(5) == 1 and peri.buffer("x") or nil }
    -- A sender that gives up sends again: what was not sent stays here.
    if peri.select { s = jobs:send_op(job), t = peri.sleep_op(math.random() * 0.0003) } == "s" then sent = sent + 1 end
  end
end)
local receiver = peri.spawn(function()
  while true do
    local ok, r = peri.try_timeout(math.random() * 0.002, function() return results:recv() end)
    if ok and r == nil then return end
    if ok then
      check(got[r.id] == nil, "doubled")
      check(r.value == r.id * 3, "a value of another job")
      check(not r.bytes or tostring(r.bytes) == "x", "bytes")
      got[r.id] = true
    end
  end
end)

local rounds = 0
peri.scope(function(s)
  for _ = 1, 6 do
    s:spawn(function()
      while peri.now() - begun < seconds do
        disturbed(kinds[math.random(#kinds)])
        rounds = rounds + 1
      end
    end)
  end
end)
stop:cancel("time is over")
sender:await()
jobs:close()
for _, server in ipairs(servers) do check(server:await(), "server") end
results:close()
receiver:await()
for i = 1, sent do check(got[i], "lost " .. i) end
check(jobs:stats().sends == sent and results:stats().recvs == sent, "counts")
check(permits.available == 4, "a permit is missing")
io.stderr:write(("%d jobs, %d disturbances in %.1f s, seed %d\n"):format(sent, rounds, peri.now() - begun, seed))
