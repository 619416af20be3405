# Processes: a step is over when its group is empty; signals once, twice, three times; nothing is left behind, however it ends.
. "$(dirname "$0")/../support/cli.sh"

gone() {
  n=0
  while kill -0 "$1" 2>nothing; do
    case $(ps -o stat= -p "$1" 2>nothing) in Z*|"") return 0 ;; esac
    [ $((n += 1)) -lt 100 ] || return 1
    sleep 0.05
  done
}

it "ends what a command leaves in its group, and says so"
given left.toml <<'END'
[steps.a]
sh = "sleep 60 & echo $! >pid; echo done"
[steps.b]
needs = ["a"]
sh = "! kill -0 $(cat pid)"
END
run run left.toml --grace 1s
[ "$status" -eq 0 ] && gone "$(cat pid)" || fail "$status $(cat err)"
grep -q "^a: left 1 process" err || fail "$(cat err)"
run report --format markdown -f left.toml
grep -q "left 1 process" out || fail "the report: $(cat out)"
run report -f left.toml
grep -q '^ *"left": 1' out || fail "the report: $(cat out)"
rm pid

it "reaps the dead that a command leaves before the next step begins"
given dead.toml <<'END'
[steps.a]
sh = """
sh -c 'true & echo $! >pid'
n=0; until ! [ -e /proc/$(cat pid) ] || grep -q '^State:.Z' /proc/$(cat pid)/status || [ $((n += 1)) -gt 1000 ]; do sleep 0.01; done
"""
[steps.b]
needs = ["a"]
sh = "! kill -0 $(cat pid)"
END
run run dead.toml
[ "$status" -eq 0 ] || fail "$status $(cat err)"
grep -q "left" err && fail "$(cat err)"
rm pid

it "ends what has left its group, at the end of the run"
given escaped.toml <<'END'
[steps.a]
sh = "setsid sh -c 'trap \"\" TERM; echo $$ >pid; sleep 60; sleep 60' & n=0; until [ -s pid ] || [ $((n += 1)) -gt 1000 ]; do sleep 0.01; done"
END
run run escaped.toml --grace 200ms
[ "$status" -eq 0 ] && gone "$(cat pid)" || fail "$status $(cat err)"
grep -q "left [12] processes\?: a" err || fail "$(cat err)"
run report -f escaped.toml
grep -A 3 '^ *"left": {' out | grep -q '"count": [12]' || fail "the report: $(cat out)"
rm pid

it "is not kept by somebody who keeps the output open"
given open.toml <<'END'
[steps.a]
sh = "setsid sleep 60 & echo here"
END
run run -q open.toml --grace 100ms
[ "$status" -eq 0 ] && grep -qx "a | here" out || fail "$status $(cat out err)"

given slow.toml <<'END'
[steps.slow]
sh = '''
trap 'echo cleaning; exit 5' TERM
echo $$ >pid; echo running
sleep 60 & wait
'''
[steps.never]
needs = ["slow"]
sh = "echo never"
[steps.always]
after = ["slow"]
when = "always"
sh = "echo always ${run.status}"
END

it "ends by a signal: TERM, steps that always run, its own exit status"
for signal in INT:130 TERM:143 HUP:129; do
  start run -q slow.toml
  await "slow | running"
  send "${signal%:*}"
  finish
  [ "$status" -eq "${signal#*:}" ] || fail "$signal: status $status"
  grep -qx "slow | cleaning" out && grep -qx "always | always cancelled" out && ! grep -q never out || fail "$(cat out)"
  grep -q "^SIG${signal%:*}: .*slow" err || fail "$(cat err)"
  grep -qx "1 cancelled: slow" err && grep -qx "1 not run: never" err || fail "$(cat err)"
  grep -q "^cancelled: 1 succeeded, 1 cancelled, 1 not run in " err || fail "$(cat err)"
  run history -f slow.toml
  sed -n 2p out | grep -q "1 succeeded, 1 cancelled, 1 not run" || fail "$(cat out)"
  run report -f slow.toml last
  [ "$(tr -d ' \n' <out | grep -o '"counts":{[^}]*}')" = '"counts":{"cancelled":1,"not_run":1,"succeeded":1}' ] || fail "$(cat out)"
  gone "$(cat pid)" || fail "$(cat pid) is left"
done

given stubborn.toml <<'END'
[steps.slow]
sh = '''
trap 'echo no' TERM
echo $$ >pid; echo running
n=0; while [ $((n += 1)) -lt 300 ]; do sleep 0.1 || :; done  # the sleep gets the signal too
'''
[steps.always]
after = ["slow"]
when = "always"
sh = '''
trap '' TERM
echo $$ >pid2; echo always
n=0; while [ $((n += 1)) -lt 300 ]; do sleep 0.1; done
'''
END

it "kills at the second signal"
start run -q stubborn.toml
await "slow | running"
send INT
await "slow | no"
send INT
finish
[ "$status" -eq 130 ] && gone "$(cat pid)" || fail "$status"
! grep -q always out || fail "$(cat out)"

it "leaves at the third, whatever still closes"
given closing.lua <<'END'
local peri = require "perilune"
local p = require("perilune.pipeline").new("closing")
p:main(function(ctx)
  local _ <close> = peri.defer(function() print "closing" peri.sleep(4) print "closed" end)
  ctx:step("slow", { sh = "trap '' TERM; echo $$ >pid; echo running; for n in $(seq 300); do sleep 0.1; done" })
end)
return p
END
start run -q closing.lua
await "slow | running"
send INT
await "main | closing"
send INT
sleep 0.2
send INT
finish
[ "$status" -eq 130 ] && gone "$(cat pid)" || fail "$status"
! grep -q closed out || fail "it waited"

it "leaves nothing behind when it is killed"
given tree.toml <<'END'
[steps.a]
sh = '''
sh -c 'echo $$ >pid; sleep 60; :' &
setsid sh -c 'echo $$ >pid2; sleep 60; :' &
n=0; until [ -s pid ] && [ -s pid2 ] || [ $((n += 1)) -gt 1000 ]; do sleep 0.01; done
echo running; wait
'''
END
rm -f pid pid2
start run -q tree.toml
await "a | running"
send KILL
finish
gone "$(cat pid)" && gone "$(cat pid2)" || fail "left: $(cat pid pid2)"
run run -q -n tree.toml

it "tells of steps that could not begin once each, also when another's failure ends the run meanwhile"
given nowhere.toml <<'END'
[steps.a]
cwd = "nowhere"
matrix = { n = [1, 2, 3, 4, 5, 6, 7, 8] }
sh = "true"
END
run run -j 8 nowhere.toml
[ "$status" -eq 1 ] && grep -q "cannot start: spawn /bin/sh in .*/nowhere: No such file or directory$" err || fail "$status $(cat err)"
! grep -q "unobserved" err || fail "$(cat err)"

it "names an exit, a signal, a program that is not there"
given ends.toml <<'END'
[steps.code]
sh = "exit 42"
[steps.signal]
sh = "kill -TERM $$"
[steps.missing]
argv = ["no-such-program"]
[steps.folder]
cwd = "nowhere"
argv = ["true"]
END
run run -q -k ends.toml
[ "$status" -eq 1 ] || fail "status $status"
for text in "exit 42" "signal SIGTERM\|signal TERM" "cannot start: .*no-such-program.*No such file" "cannot start: .*nowhere"; do
  grep -q "$text" err || fail "no '$text' in $(cat err)"
done

it "does not wait for lines that never end, and loses none"
given lines.toml <<'END'
[steps.a]
sh = "printf 'no newline'; sleep 0.4; echo; printf '%100000s' x; printf last"
END
run run -q lines.toml
[ "$status" -eq 0 ] && [ "$(sed 's/^a | //' out | tr -d '\n ' )" = "nonewlinexlast" ] || fail "$(head -c 500 out)"
log=$(ls -t .perilune/runs/*/logs/a.log | head -1)
[ "$(wc -c <"$log")" -eq 100015 ] || fail "the log has $(wc -c <"$log") bytes"

done_testing
