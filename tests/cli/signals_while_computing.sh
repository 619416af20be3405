# The third signal exits at once, even when Lua never comes back. Not a test for the thread sanitizer (see CMakeLists.txt).
. "$(dirname "$0")/../support/cli.sh"

# Signals closer together than 50 ms count as one.
pause() { sleep 0.1; }

it "SIG-05: the third signal exits on the spot, with what was printed"
given spins.lua <<'END'
print("ready")
io.stdout:flush()
io.write("in the buffer")
while true do end
END
for signal in INT TERM HUP; do
  start run spins.lua
  await ready
  send "$signal"
  pause
  send "$signal"
  pause
  send "$signal"
  finish
  case $signal in HUP) code=129 ;; INT) code=130 ;; *) code=143 ;; esac
  printf 'ready\nin the buffer' | expect "$code" out
done

it "os.execute tells how its command ended, whatever failed before"
given status.lua <<'END'
io.open("/nonexistent/x")
print(os.execute("exit 3"))
io.open("/nonexistent/x")
print(os.execute("kill -9 $$"))
END
run run status.lua
expect 0 out <<'END'
nil	exit	3
nil	signal	9
END

it "SIG-05: a command that os.execute runs on the pool swallows no signal"
given shell.lua <<'END'
local peri = require "perilune"
peri.blocking(os.execute, "echo $$ >sleeper; echo ready; exec sleep 60 >&- 2>&-"):await()
END
start run --grace 200ms shell.lua
await ready
send INT
finish
kill "$(cat sleeper)"
expect_only 130 out <<'END'
ready
END
grep -q "the blocking call 'peri.blocking' does not end" err || fail "$(cat err)"

done_testing
