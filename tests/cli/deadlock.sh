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

done_testing
