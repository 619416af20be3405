# The second signal kills what still closes.
. "$(dirname "$0")/../support/cli.sh"

# Signals closer together than 50 ms count as one.
pause() { sleep 0.1; }

it "SIG-05: the second signal ends what a shield held"
given shielded.lua <<'END'
local peri = require "perilune"
local _ <close> = peri.defer(function() print("main closed") end)
peri.shield(function()
  print("ready")
  io.stdout:flush()
  peri.sleep(1000)
end)
END
start run shielded.lua
await ready
send INT
pause
send INT
finish
expect 130 out <<'END'
ready
main closed
END

it "CAN-24: closers that outlast the grace are killed and named"
given overstays.lua <<'END'
local peri = require "perilune"
peri.spawn({ name = "stubborn" }, function()
  peri.shield(function()
    print("ready")
    io.stdout:flush()
    peri.sleep(1000)
  end)
end)
END
start run --grace 200ms overstays.lua
await ready
send TERM
finish
expect_only 143 out <<'END'
ready
END
grep -q "task 2 (stubborn) did not end within its grace at overstays.lua:6; killed" err || fail "$(cat err)"

it "names what is waited for when closers take their time"
start run overstays.lua
await ready
send INT
while ! grep -q stubborn err; do pause; done
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"
cat >expected <<'END'
perilune: SIGINT: waiting for what is still closing; once more to kill it
  task 2 (stubborn) at overstays.lua:6
END
same expected err "standard error"

it "one request that arrives twice counts once"
given drains.lua <<'END'
local peri = require "perilune"
print("ready")
io.stdout:flush()
peri.shield(function() peri.sleep(0.1) print("drained") end)
peri.sleep(1000)
END
start run drains.lua
await ready
send TERM
send TERM
finish
expect 143 out <<'END'
ready
drained
END

done_testing
