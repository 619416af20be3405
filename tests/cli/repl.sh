# `perilune repl`: typed Lua runs in a task that may wait; from a pipe, and at a terminal.
. "$(dirname "$0")/../support/cli.sh"

typed() { bounded repl >out 2>err; status=$?; }

it "prints the values of expressions, and keeps what is global"
typed <<'EOF'
x = 20
x + 1
= x, nil, "b"
local y = 5
y
print("said")
function f(a) return a * 2 end
f(x)
EOF
expect 0 out <<'EOF'
21
20	nil	b
nil
said
40
EOF

it "takes several lines for one piece"
typed <<'EOF'
for i = 1, 2 do
  print(i)
end
s = [[
a
b]]
#s
EOF
expect 0 out <<'EOF'
1
2
3
EOF

it "waits at the top, while tasks that were started before go on"
typed <<'EOF'
ch = peri.channel(0)
t = peri.spawn(function() for i = 1, 3 do ch:send(i) end return "sent" end)
ch:recv() + ch:recv()
ch:recv()
t:await()
peri.sleep(0.01)
peri.timeout(0.01, peri.sleep, 100)
EOF
expect_only 0 out <<'EOF'
3
3
sent
EOF
grep -q "time" err || fail "no time limit told: $(cat err)"

it "an error ends the line, not the session"
typed <<'EOF'
error("first")
x = = 1
error({})
nil + 1
"on"
EOF
[ "$status" -eq 0 ] || fail "status $status"
[ "$(cat out)" = on ] || fail "$(cat out)"
grep -q '^stdin:1: first' err && grep -q "unexpected symbol" err && grep -q "arithmetic" err || fail "$(cat err)"

it "tells what the input left unfinished, and does not wait for tasks at its end"
typed <<'EOF'
t = peri.spawn(peri.sleep, 1000)
for i = 1, 2 do
EOF
[ "$status" -eq 0 ] || fail "status $status"
grep -q "<eof>" err || fail "$(cat err)"

it "at a terminal it prompts, and an interrupt ends a line but not the session"
given at_terminal.py <<'EOF'
from pseudo_terminal import Session
repl = Session("repl")
until, type_in = repl.until, repl.type
until(b"\n> ")
type_in("1 + 1\n"); until(b"2\r\n> ")
type_in("for i = 1, 2 do\n"); until(b">> ")
type_in("print('<' .. i) end\n"); until(b"<2\r\n> ")
type_in("print('slee' .. 'ping') peri.sleep(1000)\n"); until(b"sleeping\r\n")
type_in("\x03"); until(b"> ")
type_in("print('com' .. 'puting') while true do end\n"); until(b"computing\r\n")
type_in("\x03"); until(b"> ")
type_in("half = (\n"); until(b">> ")
type_in("\x03"); until(b"> ")
type_in("'al' .. 'ive'\n"); until(b"alive\r\n> ")
type_in("\x04")
print(repl.end())
EOF
TERM=dumb timeout 60 python3 at_terminal.py >out 2>err
[ "$(cat out)" = 0 ] || fail "$(cat out err)"

it "on a terminal that can, lines are edited and kept for the next session"
given edits.py <<'EOF'
from pseudo_terminal import Session
def session(*steps):
    repl = Session("repl")
    repl.until(b"> ")
    for typed, answer in steps:
        repl.type(typed)
        repl.until(answer.encode())
        if answer not in ("'gon", "sleeping\r\n"): repl.until(b"> ")
    repl.type("\x04")
    return repl.end()
up, left = "\x1b[A", "\x1b[D"
print(session(("'on' .. 'e'\n", "\r\none\r\n"), (up + "\x01#\n", "\r\n2e\r\n"), ("'tw' .. 'x'" + left + "\x7fo\n", "\r\ntwo\r\n"),
              ("'gon", "'gon"), ("\x03", "\r\n"), ("print('slee' .. 'ping') peri.sleep(1000)\n", "sleeping\r\n"),
              ("\x03", "cancelled\r\n"), ("'al' .. 'ive'\n", "\r\nalive\r\n")))
print(session((up + "\n", "\r\nalive\r\n")))
EOF
if printf 'print(require("perilune.native.editor").usable())' | "$PERILUNE" run - | grep -qx true; then
  mkdir state
  TERM=xterm XDG_STATE_HOME=$folder/state timeout 60 python3 edits.py >out 2>err
  [ "$(tr '\n' ' ' <out)" = "0 0 " ] || fail "$(cat out err)"
  grep -q "gon" state/perilune/repl_history && fail "$(cat state/perilune/repl_history)"
fi

done_testing
