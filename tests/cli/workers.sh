# Several workers: how a run ends that has tasks on all of them, waiting and blocking.
. "$(dirname "$0")/../support/cli.sh"

given waits.lua <<'END'
local peri = require "perilune"
local function waits(w)
  local _ <close> = peri.defer(function(e) peri.sleep(0.01) print("waiting " .. w .. " closed: " .. e.reason) end)
  peri.sleep(1000)
end
for w = 1, 3 do
  peri.parallel({ worker = w }, waits, w)
end
peri.parallel(function(ch)
  local _ <close> = peri.defer(function(e) print("receiving closed: " .. e.reason) end)
  ch:recv()
end, peri.shared_channel(0))
for w = 1, 3 do peri.parallel({ worker = w }, peri.yield):await() end
print("ready")
io.stdout:flush()
if arg[1] == "exit" then peri.parallel({ worker = 2 }, function() os.exit(7) end):await() end
peri.sleep(1000)
END

closed_by() {
  sort out >sorted && mv sorted out
  expect "$1" out <<END
ready
receiving closed: $2
waiting 1 closed: $2
waiting 2 closed: $2
waiting 3 closed: $2
END
}

it "RUN-06: a signal ends the tasks of every worker, closers run"
start run --workers 3 waits.lua
await ready
send INT
finish
closed_by 130 SIGINT

it "ISO-08: os.exit on another worker ends the whole run, closers run"
run run --workers 3 waits.lua exit
closed_by 7 os.exit

it "RUN-05: a blocking call that never ends does not hold the exit, and is named"
given stuck.lua <<'END'
local peri = require "perilune"
local running = peri.shared_channel(1)
peri.spawn({ detached = true }, function() peri.blocking(function() running:try_send(true) while true do end end) end)
running:recv()
os.exit(4)
END
run run --grace 50ms stuck.lua
expect 4 err <<'END'
perilune: warning: task 3 did not end within its grace, spawned at stuck.lua:3; killed
perilune: warning: the blocking call 'peri.blocking' does not end; its thread is left behind
END

it "RUN-16, RUN-05: a thread that never ends does not hold the exit, and is named; one that can end does so first"
given thread.lua <<'END'
local peri = require "perilune"
local out = peri.shared_channel(2)
peri.thread({ name = "stuck" }, function(ch) ch:send(1) os.execute("sleep 20") end, out)
peri.thread({ name = "waits" }, function(ch)
  local _ <close> = peri.defer(function(e) peri.sleep(0.01) print("closed: " .. e.reason) end)
  ch:send(2)
  peri.sleep(1000)
end, out)
out:recv() out:recv()
END
run run --grace 100ms thread.lua
expect_only 0 out <<'END'
closed: daemon
END
expect_only 0 err <<'END'
perilune: warning: task 2 (stuck) did not end within its grace, spawned at thread.lua:3; killed
perilune: warning: the blocking call 'stuck' does not end; its thread is left behind
END

it "RUN-06: shielded tasks on every worker have their grace, then their closers run, and they are named"
given shielded.lua <<'END'
local peri = require "perilune"
local ready = peri.shared_channel(3)
for w = 1, 3 do
  peri.parallel({ worker = w, name = "shielded " .. w }, function(n)
    local _ <close> = setmetatable({}, { __close = function() print("closed " .. n) end })
    ready:send(n)
    peri.shield(peri.sleep, 1000)
  end, w)
end
for _ = 1, 3 do ready:recv() end
os.exit(3)
END
run run --workers 3 --grace 50ms shielded.lua
sort out >sorted && mv sorted out
expect_only 3 out <<'END'
closed 1
closed 2
closed 3
END
for w in 1 2 3; do
  grep -q "(shielded $w) did not end within its grace, spawned at shielded.lua:4; killed" err || fail "no warning of task $w: $(cat err)"
done

it "JOIN-13: a failure on another worker that nobody looked at is told once, and the exit status is 1"
given unseen.lua <<'END'
local peri = require "perilune"
peri.parallel({ worker = 2 }, function()
  peri.spawn({ name = "lost" }, function() error("disk full", 0) end)
end):await()
END
run run --workers 2 unseen.lua
[ "$status" -eq 1 ] || fail "exit status $status, expected 1"
[ "$(grep -c 'disk full' err)" -eq 1 ] || fail "expected one report: $(cat err)"

it "a number of workers that makes no sense is wrong usage"
run run --workers 0 unseen.lua
expect 2 err <<'END'
perilune: run: --workers must be 1 to 256, got 0
END

done_testing
