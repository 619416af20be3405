# Standard output that nobody reads, or that cannot be written.
. "$(dirname "$0")/../support/cli.sh"

status_of_writer() { bounded run "$1" 2>err; echo $? >status; }

ends_quietly() {
  status_of_writer "$1" | head -n 1 >out
  status=$(cat status)
  [ "$status" -eq 141 ] || fail "exit status $status"
  [ "$(cat out)" = 1 ] || fail "wrong output: $(cat out)"
  [ ! -s err ] || fail "not quiet: $(cat err)"
}

it "ends quietly when nobody reads any more, as other tools do"
given loop.lua <<'END'
local n = 0
while true do n = n + 1 print(n) end
END
ends_quietly loop.lua

it "runs the closers then"
given closes.lua <<'END'
local peri = require "perilune"
local _ <close> = peri.defer(function() io.open("closed", "w"):close() end)
for n = 1, math.huge do print(string.format("%d", n)) peri.yield() end
END
ends_quietly closes.lua
[ -f closed ] || fail "the closer did not run"

it "is quiet about it too when the script has ended by itself before it was told"
echo 'io.write(string.rep("x", 100000)) os.exit(0)' >exits.lua
{
  until test -e unread; do sleep 0.01; done
  bounded run exits.lua 2>err
  echo $? >status
} | {
  exec <&-
  touch unread
  until test -e status; do sleep 0.01; done
}
[ "$(cat status)" -eq 141 ] || fail "exit status $(cat status)"
[ ! -s err ] || fail "not quiet: $(cat err)"

it "says so when the output cannot be written"
echo 'io.write("lost")' >writes.lua
bounded run writes.lua >/dev/full 2>err
status=$?
: >out
expect 1 err <<'END'
perilune: cannot write standard output: No space left on device
END
echo 'print("lost")' >prints.lua
bounded run prints.lua >/dev/full 2>err
status=$?
expect 1 err <<'END'
perilune: cannot write standard output
END

it "a closed standard stream is not taken for a descriptor of its own"
given quiet.lua <<'END'
local f = io.open("fresh", "w")
io.write("lost")
f:write("kept")
f:close()
END
bounded run quiet.lua <&- >&- 2>err
status=$?
: >out
expect 1 err <<'END'
perilune: cannot write standard output: Bad file descriptor
END
[ "$(cat fresh)" = kept ] || fail "the file holds: $(cat fresh)"

done_testing
