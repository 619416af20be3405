# `perilune top` and `perilune inspect`: looking into a program that was started with --inspect.
. "$(dirname "$0")/../support/cli.sh"

export XDG_RUNTIME_DIR="$PWD"
given work.lua <<'EOF'
local peri = require "perilune"
local jobs = peri.channel(4, "jobs")
for i = 1, 2 do
  peri.spawn({ name = "worker " .. i, daemon = true }, function() for job in jobs:iter() do end end)
end
local gate = peri.mutex()
local held = gate:lock()
peri.spawn({ name = "stuck", daemon = true }, function() local _ <close> = gate:lock() end)
peri.sleep(0)
print("ready")
peri.signal.listen("TERM"):recv()
EOF

it "says what to do where nothing can be looked at"
run top
expect 2 err <<'EOF'
perilune: no program lets itself be looked at; start one with --inspect, or with PERILUNE_INSPECT=1
EOF
for command in top inspect; do
  run $command ./none.sock
  expect 2 err <<'EOF'
perilune: nobody answers at ./none.sock
EOF
done
run top 1
expect 2 err <<'EOF'
perilune: process 1 lets nobody look inside; start it with --inspect, or with PERILUNE_INSPECT=1
EOF

it "top shows the tasks of the one program that runs, with their waits"
start run --inspect work.lua
await ready
run_top() { bounded top "$@" >table 2>table.err; }
run_top || fail "$(cat table.err)"
grep -q "^work.lua, process $pid: " table || fail "$(cat table)"
for name in "worker 1" "worker 2" stuck; do grep -q " $name  *waiting " table || fail "no $name: $(cat table)"; done
grep -q " stuck .* lock mutex, " table || fail "$(cat table)"
grep -q "work.lua:4" table || fail "$(cat table)"
grep -q "^resources: .*channel 1.*mutex 1" table || fail "$(cat table)"
grep -q " inspect " table && fail "it shows itself: $(cat table)"

it "finds it by process, by socket, and as JSON"
run_top "$pid" && grep -q "process $pid" table || fail "$(cat table table.err)"
run_top "$PWD/perilune/$pid.sock" && grep -q "process $pid" table || fail "$(cat table table.err)"
run_top --json || fail "$(cat table.err)"
python3 -c 'import json; s = json.load(open("table")); assert any(r["kind"] == "mutex" and r["waiters"] == 1 for r in s["resources"])' ||
  fail "$(cat table)"

it "on a terminal it draws again and again until q is pressed, and leaves the screen as it was"
given at_terminal.py <<'EOF'
from pseudo_terminal import Session
top = Session("top", "--interval", "20ms")
top.until(b"\x1b[?1049h")
for _ in range(3): top.until(b"work.lua, process ")
top.type("xyz")
top.until(b"work.lua, process ")
top.type("q")
top.until(b"\x1b[?1049l")
print(top.end(), b"xyz" in top.seen)
EOF
timeout 60 python3 at_terminal.py >said 2>&1
[ "$(cat said)" = "0 False" ] || fail "$(cat said)"

it "inspect serves a page and snapshots, to localhost alone"
"$PERILUNE" inspect >address 2>address.err &
server=$!
kill_when_late "$server"
while [ ! -s address ]; do kill -0 "$server" || break; sleep 0.01; done
given get.py <<'EOF'
import json, sys, urllib.request, urllib.error
at = open("address").read().strip()
page = urllib.request.urlopen(at).read().decode()
assert "<title>perilune inspect</title>" in page
snapshot = json.load(urllib.request.urlopen(at + "snapshot"))
assert {"worker 1", "worker 2", "stuck"} <= {t["name"] for t in snapshot["tasks"]}, snapshot["tasks"]
def status(url, **headers):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers)).status
    except urllib.error.HTTPError as e:
        return e.code
assert status(at + "nothing") == 404
assert status(at, Host="attacker.example") == 403
EOF
timeout 60 python3 get.py >said 2>&1 || fail "$(cat said address.err)"
kill -s TERM "$server"
wait "$server"
[ $? -eq 143 ] || fail "inspect did not end by TERM"

send TERM
finish
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
[ ! -e "perilune/$pid.sock" ] || fail "the socket is still there"

it "PERILUNE_INSPECT=PATH names the socket, and a pipeline can be looked at as well"
given p.toml <<'EOF'
[steps.slow]
sh = "echo begun; while [ ! -e go ]; do sleep 0.01; done"
EOF
PERILUNE_INSPECT=$PWD/here.sock start run p.toml -q
await "slow | begun"
run_top ./here.sock || fail "$(cat table.err)"
grep -q " slow  *waiting .* select operations, " table || fail "$(cat table)"
touch go
finish
[ "$status" -eq 0 ] || fail "status $status"

it "lines keep their numbers, also behind a #! line"
printf '#!/usr/bin/perilune\nerror("here")\n' >fails.lua
run run --inspect fails.lua
grep -q "fails.lua:2: here" err || fail "$(cat err)"

done_testing
