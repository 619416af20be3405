-- perilune.process, with real programs on the real clock: what they are given, what they say, how they fail. Their ends: process_end.lua.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, raises, misuse = check.equal, check.same, check.raises, check.misuse

local fs = require "perilune.fs"
local process = require "perilune.process"
local run, spawn = process.run, process.spawn

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
  equal(run { argv = { "cat" }, stdin = { file = arg[0] } }.stdout, fs.read(arg[0]))
end)

case("PRC: where output goes", function()
  local path = os.tmpname()
  local result = run { sh = "echo out; echo err >&2", stdout = { file = path } }
  equal(result.stdout, nil)
  equal(result.stderr, "err\n")
  equal(fs.read(path), "out\n")
  run { sh = "echo more", stdout = { file = path, append = true } }
  equal(fs.read(path), "out\nmore\n")
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
  equal(check.alive(shell), false)
  equal(check.alive(sleeper), false)
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
