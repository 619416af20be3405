# The first INT, TERM or HUP cancels every task; closers run; the program then exits with 128 and the signal's number.
. "$(dirname "$0")/../support/cli.sh"

given waits.lua <<'END'
local peri = require "perilune"
peri.spawn({ name = "child" }, function()
  local _ <close> = peri.defer(function(e) peri.sleep(0.01) print("child closed: " .. e.reason) end)
  peri.sleep(1000)
end)
local _ <close> = setmetatable({}, { __close = function(_, e)
  print("main closed: " .. table.concat({ e.kind, e.reason, e.by.kind, e.by.name }, " "))
end })
print("ready")
io.stdout:flush()
peri.sleep(1000)
END

ended_by() {
  it "SIG-05: $1"
  start run waits.lua
  await ready
  send "$1"
  finish
  expect "$2" out <<END
ready
main closed: cancelled SIG$1 signal SIG$1
child closed: SIG$1
END
}
ended_by INT 130
ended_by TERM 143
ended_by HUP 129

it "SIG-05: a script that is computing hears the signal when it waits next"
given busy.lua <<'END'
local peri = require "perilune"
print("ready")
io.stdout:flush()
while true do peri.yield() end
END
start run busy.lua
await ready
send INT
finish
expect 130 out <<'END'
ready
END

it "a failure of a closer is told, and the signal's exit status stays"
given broken.lua <<'END'
local peri = require "perilune"
local _ <close> = peri.defer(function() error("disk full", 0) end)
print("ready")
io.stdout:flush()
peri.sleep(1000)
END
start run broken.lua
await ready
send INT
finish
head -n 1 err | grep -qx "perilune: disk full" || fail "$(cat err)"
[ "$status" -eq 130 ] || fail "status $status"

it "a script that returns although it was asked to end is still ended by the signal"
given polite.lua <<'END'
local peri = require "perilune"
print("ready")
io.stdout:flush()
while not peri.cancel_requested() do peri.shield(function() peri.sleep(0.001) end) end
print("done politely")
END
start run polite.lua
await ready
send TERM
finish
expect 143 out <<'END'
ready
done politely
END

it "os.exit in a closer decides the exit status"
given exits.lua <<'END'
local peri = require "perilune"
local _ <close> = peri.defer(function() os.exit(9) end)
print("ready")
io.stdout:flush()
peri.sleep(1000)
END
start run exits.lua
await ready
send INT
finish
[ "$status" -eq 9 ] || fail "status $status"

it "nohup keeps hang-ups away"
given nohup.lua <<'END'
local peri = require "perilune"
print("ready")
io.stdout:flush()
print(io.read())
END
mkfifo input
rm -f pipe && mkfifo pipe && : >out
(trap '' HUP; exec "$PERILUNE" run nohup.lua <input >pipe 2>err) &
pid=$!
exec 4>input 3<pipe
kill_when_late "$pid"
await ready
send HUP
echo "still here" >&4
exec 4>&-
finish
expect 0 out <<'END'
ready
still here
END

done_testing
