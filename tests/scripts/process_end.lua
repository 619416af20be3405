-- Ends of real programs on the real clock: waiting, leaving, killing, cancelling; and that nothing is left of them.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises, misuse = check.equal, check.same, check.contains, check.raises, check.misuse

local fs = require "perilune.fs"
local process = require "perilune.process"
local run, spawn = process.run, process.spawn

local my_pid = math.tointeger(fs.read("/proc/self/stat"):match("^%d+"))

local function open_descriptors()
  collectgarbage()
  collectgarbage()
  local listing = run { argv = { "ls", "/proc/" .. my_pid .. "/fd" } }.stdout
  return select(2, listing:gsub("%d+", ""))
end

-- The children of this process that have ended and were not reaped.
local function zombies()
  return run { sh = "ps -o stat= --ppid " .. my_pid .. " | grep -c Z", check = false }.stdout:match("%d+") + 0
end

local stubborn = "trap '' TERM; echo ready; while :; do sleep 0.02; done"

case("PRC: wait gives the end to all who ask, as often as they ask", function()
  local child <close> = spawn { sh = "read line; exit 6", stderr = "null" }
  equal(child:running(), true)
  contains(tostring(child), "running")
  local waits = {}
  for i = 1, 3 do waits[i] = peri.spawn(child.wait, child) end
  equal(peri.select { child:wait_op(), peri.sleep_op(0.01) }, 2)
  child.stdin:close()
  for i = 1, 3 do equal(waits[i]:await().code, 6) end
  equal(child:wait().code, 6)
  local key, status = peri.select { ended = child:wait_op() }
  equal(key, "ended")
  equal(status.code, 6)
  equal(child:running(), false)
  contains(tostring(child), "ended")
  same({ child:signal("TERM") }, { nil, "ended" })
end)

case("SIG-08: a wait that is cancelled leaves the child alone", function()
  local child <close> = spawn { sh = "read line; exit 7" }
  local waiting = peri.spawn(child.wait, child)
  peri.sleep(0.01)
  waiting:cancel()
  equal(select(2, waiting:join()).kind, "cancelled")
  same({ peri.try_timeout(0.01, child.wait, child) }, { nil, "timeout" })
  equal(child:running(), true)
  child.stdin:close()
  equal(child:wait().code, 7)
end)

case("SIG-06: leaving the block ends the group: TERM, grace, KILL, reaped", function()
  local polite, rough, orphan
  do
    local a <close> = spawn { sh = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done" }
    local b <close> = spawn { sh = stubborn, grace = 0.2 }
    local c <close> = spawn { sh = "sh -c 'sleep 100' & echo $!; exit 0" }
    equal(a.stdout:read(), "ready")
    equal(b.stdout:read(), "ready")
    orphan = c.stdout:read()
    c:wait()
    polite, rough = a, b
    equal(check.alive(orphan), true)
  end
  equal(check.alive(orphan), false)
  equal(polite:wait().code, 0)
  equal(rough:wait().signal, "KILL")
  equal(zombies(), 0)
end)

case("PRC: a start that is not confirmed is told of by the wait, again and again", function()
  local held = peri.now()
  local bad <close> = spawn { argv = { "/proc/self/environ" }, confirm_start = false } -- found, yet nothing to execute
  check.truthy(math.type(bad.pid) == "integer", "it has a number")
  for _ = 1, 2 do raises("spawn /proc/self/environ: Permission denied", function() bad:wait() end) end
  equal(bad:running(), false)
  equal(bad:members(), 0)
  local nowhere <close> = spawn { argv = { "/bin/true" }, cwd = "/no/such/folder", confirm_start = false }
  raises("spawn /bin/true in /no/such/folder: No such file or directory", function() nowhere:wait() end)
  local script <close> = spawn { argv = { "/etc/passwd" }, confirm_start = false }
  raises("spawn /etc/passwd: Permission denied", function() script:wait() end)
  check.truthy(peri.now() - held < 10, "nothing was waited for in vain")
end)

case("PRC: many unconfirmed starts have groups of their own at once, and what they are given", function()
  local children = {}
  for i = 1, 60 do
    children[i] = spawn { sh = "printf %s \"$N\"; read line; exit " .. i, env = { N = i }, confirm_start = false }
    equal(children[i]:signal("CONT"), true)
  end
  for i, child in ipairs(children) do
    child.stdin:write("go\n")
    equal(child.stdout:read("all"), tostring(i))
    equal(child:wait().code, i)
  end
  local ended = spawn { argv = { "sleep", "30" }, confirm_start = false }
  equal(ended:signal("TERM"), true) -- whether or not it has begun
  equal(ended:wait().signal, "TERM")
  equal(zombies(), 0)
end)

case("SIG-06: kill_on_close = false leaves the child running, and reaps it", function()
  local child
  do
    local own <close> = spawn { sh = "sleep 0.2; exit 3", kill_on_close = false }
    child = own
  end
  equal(check.alive(child.pid), true)
  equal(child:wait().code, 3)
  equal(zombies(), 0)
end)

case("PRC: kill and signal", function()
  local child <close> = spawn { sh = stubborn }
  equal(child.stdout:read(), "ready")
  equal(child:signal("TERM"), true)
  equal(child:signal("SIGCONT"), true)
  equal(child:signal(18), true)
  equal(child:kill(0.05).signal, "KILL")
  equal(child:kill().signal, "KILL")
  local sleeper <close> = spawn { argv = { "sleep", "100" } }
  equal(sleeper:kill().signal, "TERM")
  local other <close> = spawn { argv = { "sleep", "100" } }
  equal(other:kill(0).signal, "KILL")
  misuse("a signal such as \"TERM\" expected", function() child:signal("NONE") end)
  misuse("a signal such as \"TERM\" expected", function() child:signal(1000) end)
end)

case("PRC: a task cancelled in run goes on when the child is gone", function()
  local path, group = os.tmpname(), nil
  local gone
  local task = peri.spawn(function()
    local _ <close> = peri.defer(function() gone = not check.alive(group) end)
    run { sh = "echo $$ >" .. path .. "; " .. stubborn, grace = 0.1 }
  end)
  check.wait_until(function() return fs.read(path):find("\n") end)
  group = fs.read(path):match("%d+")
  task:cancel("enough")
  local ok, e = task:join()
  equal(ok, false)
  equal(e.kind, "cancelled")
  equal(gone, true)
  os.remove(path)
end)

case("PRC: a time limit of the script around run", function()
  local begun = peri.now()
  local e = raises("", peri.timeout, 0.1, run, { argv = { "sleep", "100" } })
  check.kind(e, "timeout")
  check.truthy(peri.now() - begun < 5, "an early end")
  same({ peri.try_timeout(0.05, run, { sh = stubborn, grace = 0.05 }) }, { nil, "timeout" })
  equal(zombies(), 0)
end)

case("PRC: a scope that fails ends its processes first", function()
  local e = raises("one task of the scope failed", peri.scope, function(s)
    for _ = 1, 5 do s:spawn(run, { argv = { "sleep", "100" } }) end
    s:spawn(run, { sh = "exit 9" })
  end)
  check.kind(e, "group")
  equal(#e.errors, 1)
  equal(e.errors[1].code, 9)
  equal(zombies(), 0)
end)

case("PRC: what waits for a process can be seen", function()
  local task = peri.spawn({ name = "builder" }, run, { argv = { "sleep", "100" } })
  peri.sleep(0.01)
  contains(peri.dump(), "(builder) waiting in run on a process")
  local seen
  for _, record in ipairs(peri.tasks()) do
    if record.name == "builder" then seen = record.waiting_on end
  end
  equal(seen.op, "run")
  equal(seen.resource, "process")
  equal(#peri.self():children(), 1)
  task:cancel()
  task:join()
end)

case("PRC: a process that nobody holds any more is ended", function()
  local pid
  do pid = spawn({ argv = { "sleep", "100" } }).pid end
  check.wait_until(function()
    collectgarbage()
    return not check.alive(pid)
  end)
  check.wait_until(function() return #peri.tasks() == 2 end)
end)

case("PRC: a hundred at once, and nothing is left", function()
  run { argv = { "true" } }
  local before = open_descriptors()
  local sum = peri.scope(function(s)
    local tasks, total = {}, 0
    for i = 1, 100 do tasks[i] = s:spawn(function() return run { sh = "sleep 0.1; echo " .. i }.stdout end) end
    for _, task in ipairs(tasks) do total = total + task:await() end
    return total
  end)
  equal(sum, 5050)
  check.wait_until(function() return open_descriptors() <= before end)
  equal(zombies(), 0)
end)

case("PRC: cancelled at any moment, nothing is left", function()
  run { argv = { "true" } }
  local before = open_descriptors()
  for i = 0, 40 do
    local task = peri.spawn(function()
      for _ = 1, 3 do
        run { sh = "echo x; cat", stdin = "y" }
        local child <close> = spawn { argv = { "cat" } }
        child.stdin:write("line\n")
        equal(child.stdout:read(), "line")
        child.stdin:close()
        child:wait()
      end
    end)
    peri.sleep(i * 0.0005)
    task:cancel()
    task:join()
  end
  check.wait_until(function() return open_descriptors() <= before end)
  equal(zombies(), 0)
end)

case("PRC: a slow reader holds the writer back: only little is ever on its way", function()
  local child <close> = spawn { argv = { "head", "-c", "200000000", "/dev/zero" } }
  local function written() return tonumber((fs.read("/proc/" .. child.pid .. "/io"):match("wchar: (%d+)"))) end
  local total, reads, most = 0, 0, 0
  while true do
    local piece = child.stdout:read("some")
    if not piece then break end
    total, reads = total + #piece, reads + 1
    if reads % 100 == 0 then
      peri.sleep(0.002)
      local ok, so_far = pcall(written)
      if ok and so_far then most = math.max(most, so_far - total) end
    end
  end
  equal(total, 200000000)
  check.truthy(most > 0, "the writer was looked at while it wrote")
  check.truthy(most < 2000000, "less than 2 MB written and not yet read, not " .. most .. " bytes")
end)

case("PRC: outside of a task a process cannot be started", function()
  local ok, e
  setmetatable({}, { __gc = function() ok, e = pcall(spawn, { argv = { "true" } }) end })
  collectgarbage()
  check.truthy(ok ~= nil, "the finalizer's run")
  if ok then e:kill(0) end
end)
