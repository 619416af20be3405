-- perilune.process, with real programs on the real clock: what they are given, what they say, how they end, what is left.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises, misuse = check.equal, check.same, check.contains, check.raises, check.misuse

local process = require "perilune.process"
local run, spawn = process.run, process.spawn

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local my_pid = math.tointeger(read_file("/proc/self/stat"):match("^%d+"))

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

-- Waits until something holds; nothing else says when another process has got so far.
local function eventually(what, holds)
  local ok = peri.try_timeout(10, function()
    while not holds() do peri.sleep(0.002) end
  end)
  check.truthy(ok, what)
end

local function alive(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if not file then return false end
  local state = file:read("a"):match("%) (%a)")
  file:close()
  return state ~= "Z" and state ~= "X"
end

local stubborn = "trap '' TERM; echo ready; while :; do sleep 0.02; done"

case("PRC: run gives what the program said and how it ended", function()
  local result = run { argv = { "printf", "%s|", "a b", "", "ü", 7 } }
  equal(result.stdout, "a b||ü|7|")
  equal(result.stderr, "")
  equal(result.code, 0)
  equal(result.signal, nil)
  equal(result.ok, true)
  check.truthy(result.duration > 0 and result.duration < 10, "a duration")
  check.truthy(result.rusage.max_rss > 0 and result.rusage.user >= 0 and result.rusage.system >= 0, "usage")
end)

case("PRC: sh, cwd, env and stdin", function()
  equal(run { sh = "echo a; echo b >&2 | cat" }.stdout, "a\n")
  equal(run { sh = "pwd", cwd = "/" }.stdout, "/\n")
  equal(run { sh = "echo $A-$B-${HOME-none}", env = { A = "x y", B = 5, HOME = false } }.stdout, "x y-5-none\n")
  equal(run { argv = { "/usr/bin/env" }, env = { A = "1" }, clear_env = true }.stdout, "A=1\n")
  equal(run { argv = { "cat" } }.stdout, "")
  equal(run { argv = { "cat" }, stdin = "text\0\xff" }.stdout, "text\0\xff")
  equal(run { argv = { "cat" }, stdin = { text = "null" } }.stdout, "null")
  equal(run { argv = { "cat" }, stdin = { file = arg[0] } }.stdout, read_file(arg[0]))
end)

case("PRC: where output goes", function()
  local path = os.tmpname()
  local result = run { sh = "echo out; echo err >&2", stdout = { file = path } }
  equal(result.stdout, nil)
  equal(result.stderr, "err\n")
  equal(read_file(path), "out\n")
  run { sh = "echo more", stdout = { file = path, append = true } }
  equal(read_file(path), "out\nmore\n")
  equal(run { sh = "echo out; echo err >&2", stderr = "stdout" }.stdout, "out\nerr\n")
  same({ run { sh = "echo x", stdout = "null", stderr = "null" }.stdout }, {})
  os.remove(path)
end)

case("PRC: a bad end raises kind process, unless check is false", function()
  local e = raises("exited with code 3: last words", run, { sh = "echo said; echo first >&2; echo last words >&2; exit 3" })
  check.kind(e, "process")
  equal(e.code, 3)
  equal(e.signal, nil)
  equal(e.stderr, "first\nlast words\n")
  equal(e.result.stdout, "said\n")
  equal(e.result.code, 3)
  check.truthy(e.traceback, "a traceback")
  e = raises("kill -9 $$ was ended by signal KILL", run, { sh = "kill -9 $$" })
  equal(e.code, nil)
  equal(e.signal, "KILL")
  local result = run { sh = "exit 4", check = false }
  equal(result.code, 4)
  equal(result.ok, false)
  local ok, caught = peri.spawn(run, { sh = "exit 5" }):join()
  equal(ok, false)
  equal(caught.kind, "process")
  equal(caught.code, 5)
end)

case("PRC: a program that cannot be started raises kind io", function()
  for _, start in ipairs { run, spawn } do
    local e = raises("no-such-program", start, { argv = { "no-such-program" } })
    check.kind(e, "io")
    equal(e.code, "ENOENT")
    equal(raises("in /no/such/folder", start, { argv = { "true" }, cwd = "/no/such/folder" }).code, "ENOENT")
    equal(raises("/dev/null", start, { argv = { "/dev/null" } }).code, "EACCES")
    equal(raises("/no/such/input", start, { argv = { "cat" }, stdin = { file = "/no/such/input" } }).code, "ENOENT")
  end
end)

case("PRC: a time limit raises kind timeout when the group is gone", function()
  local begun = peri.now()
  local e = raises("did not end within 0.8 s", run, { sh = "echo $$; sleep 100 & echo $!; sleep 100", timeout = 0.8 })
  check.kind(e, "timeout")
  check.truthy(peri.now() - begun < 5, "an early end")
  local shell, sleeper = e.result.stdout:match("(%d+)\n(%d+)")
  equal(alive(shell), false)
  equal(alive(sleeper), false)
  equal(run { argv = { "echo", "in time" }, timeout = 60 }.stdout, "in time\n")
  equal(run { argv = { "echo", "no limit" }, timeout = math.huge }.stdout, "no limit\n")
end)

case("PRC: a limit of output raises kind limit", function()
  local e = raises("wrote more than output_limit allows", run, { argv = { "yes" }, output_limit = 1000 })
  check.kind(e, "limit")
  equal(#e.result.stdout, 1000)
  equal(#run { sh = "head -c 1000 /dev/zero", output_limit = 1000 }.stdout, 1000)
end)

case("PRC: misuse is told at the caller's line", function()
  misuse("bad argument #1 to 'run' (a table of options expected, got string)", function() run "ls" end)
  misuse("the program's words go into argv = {...}", function() run { "ls" } end)
  misuse("give either argv = {\"program\", ...} or sh", function() run {} end)
  misuse("give either argv = {\"program\", ...} or sh", function() run { argv = { "a" }, sh = "b" } end)
  misuse("unknown option 'tiemout' to 'run'; did you mean 'timeout'?", function() run { sh = "x", tiemout = 1 } end)
  misuse("unknown option 'timeout' to 'spawn'", function() spawn { sh = "x", timeout = 1 } end)
  misuse("bad option 'argv' to 'run' (a list of at least one string expected", function() run { argv = {} } end)
  misuse("bad option 'argv[2]' to 'run' (a string expected, got table)", function() run { argv = { "a", {} } } end)
  misuse("bad option 'argv' to 'run' (a list expected, it has the key x)", function() run { argv = { "a", x = 1 } } end)
  misuse("bad option 'argv[1]' to 'run' (a zero byte in it)", function() run { argv = { "a\0" } } end)
  misuse("bad option 'cwd' to 'run' (a path expected, got boolean)", function() run { sh = "x", cwd = true } end)
  misuse("bad option 'env' to 'run' (a=b is no name of a variable)", function() run { sh = "x", env = { ["a=b"] = "" } } end)
  misuse("bad option 'env.A' to 'run'", function() run { sh = "x", env = { A = {} } } end)
  misuse("bad option 'stdout' to 'run' (\"capture\", \"inherit\", \"null\" or {file =} expected, got \"pip\")", function() run { sh = "x", stdout = "pip" } end)
  misuse("did you mean 'file'?", function() run { sh = "x", stdout = { fiel = "x" } } end)
  misuse("bad option 'stdin' to 'run'", function() run { sh = "x", stdin = 7 } end)
  misuse("bad option 'timeout' to 'run'", function() run { sh = "x", timeout = -1 } end)
  misuse("bad option 'timeout' to 'run'", function() run { sh = "x", timeout = 0 / 0 } end)
  misuse("bad option 'check' to 'run' (a boolean expected, got number)", function() run { sh = "x", check = 1 } end)
  misuse("bad option 'grace' to 'spawn'", function() spawn { sh = "x", grace = "1" } end)
  misuse("bad option 'output_limit' to 'run'", function() run { sh = "x", output_limit = 1.5 } end)
end)

case("PRC: the streams of a child: lines, counts, the rest, the end", function()
  local child <close> = spawn { argv = { "cat" } }
  equal(math.type(child.pid), "integer")
  equal(child.stderr, nil)
  equal(child.stdin:write("one\ntwo\n", 3, "\nfour", "five\n\nlast"), child.stdin)
  equal(child.stdout:read(), "one")
  equal(child.stdout:read("L"), "two\n")
  equal(child.stdout:read(2), "3\n")
  equal(child.stdout:read("l"), "fourfive")
  equal(child.stdout:read(0), "")
  equal(child.stdout:read("*l"), "")
  child.stdin:close()
  equal(child.stdout:read("all"), "last")
  equal(child.stdout:read("all"), "")
  equal(child.stdout:read("line"), nil)
  equal(child.stdout:read(10), nil)
  equal(child.stdout:read("some"), nil)
  equal(child:wait().code, 0)
  raises("cannot be read, only written", child.stdin.read, child.stdin)
  raises("cannot be written, only read", child.stdout.write, child.stdout, "x")
  misuse("a number of bytes, \"line\", \"L\", \"all\" or \"some\" expected", function() child.stdout:read("word") end)
  misuse("bad argument #2 to 'read'", function() child.stdout:read(1, 2) end)
  misuse("bad argument #1 to 'write' (a string expected, got table)", function() child.stdin:write({}) end)
end)

case("PRC: lines, also from inside a generator", function()
  local child <close> = spawn { sh = "for i in 1 2 3; do echo line $i; sleep 0.02; done; printf rest" }
  local seen = {}
  for line in child.stdout:lines() do seen[#seen + 1] = line end
  same(seen, { "line 1", "line 2", "line 3", "rest" })
  local other <close> = spawn { sh = "echo a; sleep 0.02; echo b" }
  local generator = coroutine.wrap(function()
    for line in other.stdout:lines("L") do coroutine.yield(line) end
  end)
  equal(generator(), "a\n")
  equal(generator(), "b\n")
  equal(generator(), nil)
  local chunks = {}
  local third <close> = spawn { sh = "printf 1234567" }
  for chunk in third.stdout:lines(3) do chunks[#chunks + 1] = chunk end
  same(chunks, { "123", "456", "7" })
  misuse("\"all\" has no pieces", function() third.stdout:lines("all") end)
end)

case("PRC: a read that has too much to hold raises kind limit", function()
  local child <close> = spawn { sh = "echo 12345; echo 678" }
  check.kind(raises("a line exceeds 4 bytes", child.stdout.read, child.stdout, "line", 4), "limit")
  equal(child.stdout:read("line", 5), "12345")
  equal(child.stdout:read("all", 10), "678\n")
end)

case("PRC: binary data survives both ways", function()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  local text = table.concat(bytes):rep(1000)
  equal(run { argv = { "cat" }, stdin = text }.stdout, text)
  local child <close> = spawn { argv = { "cat" } }
  peri.spawn(function()
    child.stdin:write(text)
    child.stdin:close()
  end)
  equal(child.stdout:read("all"), text)
end)

case("PRC: writing to a child that does not read raises EPIPE, and no signal", function()
  local child <close> = spawn { sh = "exec <&-; echo closed; sleep 100" }
  equal(child.stdout:read(), "closed")
  local e = raises("write stdin of sh", function()
    for _ = 1, 100 do child.stdin:write("x") end
  end)
  equal(e.code, "EPIPE")
  child.stdin:close()
  equal(raises("", child.stdin.write, child.stdin, "x").kind, "io")
end)

case("PRC: a stream that lost a select has lost nothing", function()
  local child <close> = spawn { argv = { "cat" } }
  for i = 1, 50 do
    local key = peri.select { line = child.stdout:read_op(), stop = peri.sleep_op(0) }
    equal(key, "stop")
    child.stdin:write("line " .. i .. "\n")
    if i % 2 == 0 then
      key = peri.select({ child.stdout:read_op("all"), peri.sleep_op(0.001) }, { biased = true })
      equal(key, 2)
    end
    local got, line = peri.select { line = child.stdout:read_op(), stop = peri.sleep_op(10) }
    equal(got, "line")
    equal(line, "line " .. i)
  end
  equal(peri.select { write = child.stdin:write_op("bye\n"), stop = peri.sleep_op(10) }, "write")
  equal(child.stdin:flush(), child.stdin)
  equal(peri.perform(child.stdout:read_op(4)), "bye\n")
end)

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
    equal(alive(orphan), true)
  end
  equal(alive(orphan), false)
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
  equal(alive(child.pid), true)
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
    local _ <close> = peri.defer(function() gone = not alive(group) end)
    run { sh = "echo $$ >" .. path .. "; " .. stubborn, grace = 0.1 }
  end)
  eventually("start", function() return read_file(path):find("\n") end)
  group = read_file(path):match("%d+")
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
  eventually("end", function()
    collectgarbage()
    return not alive(pid)
  end)
  eventually("rest", function() return #peri.tasks() == 2 end)
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
  eventually("descriptors closed", function() return open_descriptors() <= before end)
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
  eventually("descriptors closed", function() return open_descriptors() <= before end)
  equal(zombies(), 0)
end)

case("PRC: a slow reader holds the writer back: memory stays bounded", function()
  local function memory() return tonumber(read_file("/proc/self/status"):match("VmRSS:%s*(%d+)")) end
  local child <close> = spawn { sh = "head -c 900000000 /dev/zero" }
  collectgarbage()
  local before, most, total, reads = memory(), 0, 0, 0
  while true do
    local piece = child.stdout:read("some")
    if not piece then break end
    total, reads = total + #piece, reads + 1
    if reads % 500 == 0 then
      peri.sleep(0.002)
      most = math.max(most, memory())
    end
  end
  equal(total, 900000000)
  check.truthy(most - before < 700000, "less than 700 MB more, not " .. (most - before) .. " KB") -- most of it a sanitizer's
end)

case("PRC: outside of a task a process cannot be started", function()
  local ok, e
  setmetatable({}, { __gc = function() ok, e = pcall(spawn, { argv = { "true" } }) end })
  collectgarbage()
  check.truthy(ok ~= nil, "the finalizer's run")
  if ok then e:kill(0) end
end)
