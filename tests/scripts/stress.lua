-- workers: 3
-- All at once, at random: spawns, cancels, calls on workers, pool and threads, channels, permits, tokens and buffers between
-- them, and isolates that use up their memory, their instructions or their time. What must hold in the end: nothing lost,
-- nothing doubled, every permit back, every failure one that was asked for.
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

-- Code that does not end by itself: what it uses up, and how it tries to hide that. Its tasks are members of scopes: one that
-- is refused memory in a task of its own would be a failure that nobody looked at.
local greedy = {
  "local t = {} while true do t[#t + 1] = {} end",
  "local s = 'x' while true do s = s .. s end",
  "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(100) .. #t end end) end",
  "local t = {} while true do local _ <close> = setmetatable({}, { __close = function() t[#t + 1] = {} end }) t[#t + 1] = coroutine.wrap(function() end) end",
  "local function f(...) return 1 + f(..., ...) end while true do pcall(f, 1) end",
  "local peri = require 'perilune' local ch = peri.unbounded {} while true do ch:send { 1, 2, 3 } end",
  "local peri = require 'perilune' while true do pcall(peri.scope, function(s) while true do s:spawn(peri.sleep, 1000) end end) end",
  [[local peri = require 'perilune'
  while true do pcall(peri.scope, function(s) s:spawn(function() local t = {} while true do t[#t + 1] = #t .. '' end end) end) end]],
  "local t = {} while true do table.sort({ 2, 1 }, function() t[#t + 1] = {} t[#t + 1] = ('x'):rep(50) end) end",
  "while true do pcall(error, {}) end",
}

-- Whoever is disturbed looks at no outcome any more; what nobody looks at must be what was asked for all the same.
local function only_asked_for(_, e)
  if e.kind == "limit" or e.kind == "timeout" then return end
  io.stderr:write("a failure that nobody asked for: ", tostring(e), "\n")
  os.exit(1)
end
peri.on_unobserved(only_asked_for)

-- Runs such code in an isolate of its own, which must end it by a limit and stay of use.
local function use_up(source, profile, by_time)
  local peri = require "perilune"
  peri.on_unobserved(only_asked_for)
  local vm <close> = peri.isolate { memory = "512KiB", fuel = not by_time and 1e5 or nil, deadline = by_time and 0.02 or nil,
    profile = profile, max_tasks = 500 }
  for _ = 1, 2 do
    local ok, e = vm:run(source):join()
    if ok or e.kind ~= "limit" then return tostring(e) .. ": " .. source end
  end
  local ok, answer = vm:run("return ..., #('x'):rep(1000)", 42):join()
  if not ok or answer ~= 42 then return "of no use afterwards: " .. tostring(answer) end
  if vm.memory_used > 600 * 1024 then return "holds more than it may" end
end

-- An isolate of a tool that is given what others have too.
local tool = peri.isolate { profile = "tool", memory = "4MiB", modules = { "shared_channel" } }

local kinds = {
  function() local problem = use_up(greedy[math.random(#greedy)], math.random(2) == 1 and "tool" or "untrusted", math.random(2) == 1) check(not problem, problem) end,
  function()
    local far = peri.parallel(use_up, greedy[math.random(#greedy)], "untrusted", math.random(2) == 1)
    if math.random(3) == 1 then peri.sleep(math.random() * 0.002) far:cancel() end
    local ok, problem = far:join()
    check(ok and not problem or not ok and asked_for[problem.kind], tostring(problem))
  end,
  function()
    local ch = peri.shared_channel(1)
    local run = tool:run("local ch = ... for i = 1, 3 do ch:send { i } end ch:close() return #ch", ch)
    local sum = 0
    local reader = peri.spawn(function() for v in ch:iter() do sum = sum + v[1] end end)
    run:await()
    reader:await()
    check(sum == 6, "a channel into an isolate")
  end,
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
check(tool.memory_used < 2 * 1024 * 1024, "the isolate holds more and more")
tool:close()
io.stderr:write(("%d jobs, %d disturbances in %.1f s, seed %d\n"):format(sent, rounds, peri.now() - begun, seed))
