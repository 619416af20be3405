# A run in which nothing can happen any more ends, although the runner watches for signals.
. "$(dirname "$0")/../support/cli.sh"

it "DLK-04, DLK-07: names what waits, and fails"
given stall.lua <<'END'
local peri = require "perilune"
local ch = peri.channel(0)
local _ <close> = peri.defer(function() print("closed") end)
ch:recv()
END
run run stall.lua
expect_only 1 out <<'END'
closed
END
head -n 2 err | sed "s/ (for [0-9.]* s)/ (for a while)/" >first
cat >expected <<'END'
perilune: deadlock: nothing can run, and nothing can wake these tasks:
  task 1 (main) waits in recv on a channel at stall.lua:4 (for a while)
END
same expected first "standard error"

it "DLK-07: the error can be caught"
given caught.lua <<'END'
local peri = require "perilune"
local ok, e = pcall(function() return peri.channel(0):recv() end)
print(ok, peri.is_error(e, "deadlock"))
END
run run caught.lua
expect_only 0 out <<'END'
false	true
END

it "DLK-03: no alarm while a timer runs"
given timer.lua <<'END'
local peri = require "perilune"
local ch = peri.channel(0)
peri.spawn(function() peri.sleep(0.02) ch:send("done") end)
print(ch:recv())
END
run run timer.lua
expect 0 out <<'END'
done
END

it "DLK-07: names every waiting task, with the operations of a select"
given many.lua <<'END'
local peri = require "perilune"
local a, b = peri.channel(0), peri.token()
peri.spawn({ name = "chooser" }, function() peri.select({ a:recv_op(), b:wait_op() }, { biased = true }) end)
peri.spawn({ name = "joiner" }, function() peri.self().parent:children()[1]:join() end)
END
run run many.lua
sed -n "s/ (for [0-9.]* s)//; s/^  task/task/p" err | sort >first
cat >expected <<'END'
task 2 (chooser) waits in select (recv on a channel, wait on a token) at many.lua:3, spawned at many.lua:3
task 3 (joiner) waits in join on task 2 (chooser) at many.lua:4, spawned at many.lua:4
END
same expected first "standard error"

it "DLK-05: a daemon that waits keeps no run alive, and is not named"
given daemon.lua <<'END'
local peri = require "perilune"
local ch = peri.channel(0)
peri.spawn({ daemon = true, name = "background" }, function()
  local _ <close> = setmetatable({}, { __close = function(_, e) print("ended", e and e.kind) end })
  ch:recv()
end)
peri.yield()
if arg[1] then ch:send(ch:recv()) end
END
run run daemon.lua
expect 0 out <<'END'
ended	cancelled
END
run run daemon.lua stall
sed -n "s/ (for [0-9.]* s)//; s/^  task/task/p" err >first
cat >expected <<'END'
task 1 (main) waits in recv on a channel at daemon.lua:8
END
same expected first "standard error"
expect_only 1 out <<'END'
ended	cancelled
END

it "DLK-09: a run that ends with blocked detached tasks lists them"
given detached.lua <<'END'
local peri = require "perilune"
for i = 1, 2 do
  peri.spawn({ detached = true, name = "lost " .. i }, function() peri.channel(0):recv() end)
end
print("main has ended")
END
run run detached.lua
sed -n "s/ (for [0-9.]* s)//; s/^  task/task/p" err >first
cat >expected <<'END'
task 2 (lost 1) waits in recv on a channel at detached.lua:3, spawned at detached.lua:3
task 3 (lost 2) waits in recv on a channel at detached.lua:3, spawned at detached.lua:3
END
same expected first "standard error"
grep -q "spawned at detached.lua:3" err || fail "the spawn site is missing: $(cat err)"
expect_only 1 out <<'END'
main has ended
END

it "DLK-07: a thread and its caller that wait for each other are in a deadlock, told on both sides"
given thread.lua <<'END'
local peri = require "perilune"
local ch = peri.shared_channel(1)
local t = peri.thread({ daemon = false }, function(c) return c:recv() end, ch)
if arg[1] then peri.sleep(0.05) ch:send("in time") end
print(t:join())
END
run run thread.lua
expect_only 0 out <<'END'
false	task 2 failed: deadlock: nothing can end the wait in recv on a shared channel
END
sed -n "s/ (for [0-9.]* s)//; s/^  task/task/p" err | sort >first
cat >expected <<'END'
task 1 (main) waits in join on task 2 at thread.lua:5
task 1 waits in recv on a shared channel at thread.lua:3
task 2 waits in thread on a thread, spawned at thread.lua:3
END
same expected first "standard error"
run run thread.lua "the caller sleeps"
expect 0 out <<'END'
true	in time
END

it "DLK-05: a thread that serves waits on when those whom it serves are in a deadlock"
given serves.lua <<'END'
local peri = require "perilune"
local a, b = peri.shared_channel(1), peri.shared_channel(1)
local server = peri.thread(function(i, o) for v in i:iter() do o:send(v + 1) end return "served" end, a, b)
local client = peri.thread({ daemon = false }, function(i, o)
  local sum = 0
  for n = 1, 2000 do i:send(n) sum = sum + o:recv() end
  return sum
end, a, b)
print(client:join())
print(select(2, pcall(function() peri.channel(0):recv() end)))
a:send(1)
print(b:recv())
a:close()
print(server:join())
END
run run --workers 2 serves.lua
expect_only 0 out <<'END'
true	2003000
deadlock: nothing can end the wait in recv on a channel
2
true	served
END

it "DLK-07: a thread that outstayed its grace is waited for no more, and hides no deadlock when it ends at last"
given late.lua <<'END'
local peri = require "perilune"
local t = peri.thread({ daemon = false }, function() os.execute "touch begun; until test -e go; do sleep 0.02; done" end)
while not peri.fs.exists "begun" do peri.sleep(0.01) end
t:cancel()
print(t:join())
peri.fs.write("go", "")
print(select(2, pcall(function() peri.channel(0):recv() end)))
END
run run --grace 50ms late.lua
expect_only 0 out <<'END'
false	task 2 was cancelled
deadlock: nothing can end the wait in recv on a channel
END

it "DLK-07: nor does one that was left behind by a thread that has ended"
given left.lua <<'END'
local peri = require "perilune"
peri.thread({ daemon = false }, function()
  local peri = require "perilune"
  local t = peri.thread({ daemon = false }, function() os.execute "touch running; sleep 0.6" end)
  while not peri.fs.exists "running" do peri.sleep(0.01) end
  t:cancel()
  t:join()
end):await()
print(select(2, pcall(function() peri.channel(0):recv() end)))
END
run run --grace 50ms left.lua
expect_only 0 out <<'END'
deadlock: nothing can end the wait in recv on a channel
END

it "DLK-05: what a daemon's thread starts serves as well"
given below.lua <<'END'
local peri = require "perilune"
local a, b = peri.shared_channel(1), peri.shared_channel(1)
peri.thread(function(i, o)
  local peri = require "perilune"
  peri.thread({ daemon = false }, function(i, o) for v in i:iter() do o:send(v + 1) end end, i, o):join()
end, a, b)
peri.spawn({ daemon = true }, function()
  peri.thread({ daemon = false }, function(i, o) for v in i:iter() do o:send(v + 1) end end, a, b):join()
end)
for n = 1, 2 do a:send(n) print(b:recv()) end
print(select(2, pcall(function() peri.channel(0):recv() end)))
for n = 5, 8 do a:send(n) print(b:recv()) end
END
run run below.lua
expect_only 0 out <<'END'
2
3
deadlock: nothing can end the wait in recv on a channel
6
7
8
9
END

it "DLK-07: nobody is told twice of a deadlock in which nothing of his has changed"
given again.lua <<'END'
local peri = require "perilune"
local ch = peri.shared_channel(1)
print(peri.thread({ daemon = false }, function(c) for _ = 1, 3 do pcall(c.recv, c) end return "gave up" end, ch):join())
END
run run again.lua
expect_only 0 out <<'END'
true	gave up
END
[ "$(grep -c "main) waits in join" err)" -eq 1 ] || fail "$(cat err)"

it "DLK-07: a cycle through a call on another VM ends where threads have been and are no more, too"
given cycle.lua <<'END'
local peri = require "perilune"
peri.thread({ daemon = false }, function() end):join()
local first
first = peri.spawn(function() return peri.isolate({ profile = "trusted" }):run(function(t) return t:await() end, first):await() end)
print(first:join() == false and select(2, first:join()).kind)
END
run run cycle.lua
expect_only 0 out <<'END'
deadlock
END

done_testing
