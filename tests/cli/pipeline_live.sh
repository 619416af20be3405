# What a person sees of a pipeline on a terminal, read from the screen of a real one: lines scroll, a block stands below them,
# and nothing of it is left behind.
. "$(dirname "$0")/../support/cli.sh"
. "$support/screen.sh"

block='^[━─]+ [0-9]+/[0-9]+'

given p.toml <<'END'
[steps.a]
sh = "echo begun; until test -e go; do sleep 0.05; done; echo going"
[steps.b]
needs = ["a"]
sh = "echo ended"
END

it "shows what runs and how far it is, below the lines"
on_terminal -- run p.toml
await_line "^a \| begun$"
await_line "^. a +[0-9]+s  begun$"
await_line "$block"
screen | tail -n 1 | grep -qE '^[━─]+ 0/2, [0-9]+s, 1 running$' || fail "$(screen)"

it "leaves the lines and the summary, and nothing else"
touch go
await_end
[ "$status" -eq 0 ] || fail "status $status"
sed -E 's/[0-9.]+m?s/T/g' seen >plain
cat >expected <<'END'
a | begun
a | going
✓ a: done, T
b | ended
✓ b: done, T
success: 2 succeeded in T, cpu T
critical path: a T → b T
slowest: a T, b T
END
same expected plain "screen"

it "follows the size of the terminal, and loses no line"
# What was on its way while the size changed may leave a row of the block behind: no program can know of it.
rm go
on_terminal -- run p.toml
await_line "$block"
ends_with_bar() { screen | tail -n 1 | grep -qE "^[━─]{$1} [0-9]+/[0-9]+"; }
while read -r columns bar; do
  terminal resize-window -x "$columns" -y 15
  await_that "no bar of $bar at $columns columns" ends_with_bar "$bar"
done <<'END'
40 9
25 6
60 14
120 24
80 19
END
touch go
await_end
[ "$(grep -c '^a | begun$' seen)" -eq 1 ] && [ "$(grep -c '^b | ended$' seen)" -eq 1 ] && ! tail -n 1 seen | grep -qE "$block" || fail "$(cat seen)"

it "every line is in the scrollback, once and in order"
given many.toml <<'END'
[steps.a]
sh = "for i in $(seq 300); do echo \"line $i of a\"; done; sleep 0.2; seq 301 400"
[steps.b]
sh = "for i in $(seq 300); do echo \"line $i of b\"; sleep 0.001; done"
END
on_terminal -- run many.toml -j 2
await_end
for step in a b; do
  { seq 300 | sed "s/.*/$step | line & of $step/"; [ $step = b ] || seq 301 400 | sed 's/^/a | /'; } >expected
  grep "^$step | " seen >lines
  same expected lines "lines of $step"
done
[ "$(grep -cE "$block" seen)" -eq 0 ] || fail "something of the block is left: $(cat seen)"

it "Ctrl-C: names what is waited for, then leaves a clean screen"
given long.toml <<'END'
[steps.slow]
sh = "trap '' TERM; echo begun; until test -e enough; do sleep 0.05; done"
[steps.quick]
sh = "sleep 1000"
END
on_terminal -- run long.toml -j 2
await_line "^slow \| begun$"
await_line "^. quick +[0-9]+s"
terminal send-keys C-c
await_line "^SIGINT: stopping; waiting for slow, quick$"
await_line "^SIGINT: waiting for slow; again kills them$"
touch enough
await_end
[ "$status" -eq 130 ] || fail "status $status"
grep -q '^cancelled: ' seen && [ "$(grep -cE "$block" seen)" -eq 0 ] || fail "$(cat seen)"

it "Ctrl-C again kills, and leaves what was printed and a clean screen"
given stubborn.toml <<'END'
[steps.a]
sh = "trap '' TERM INT; printf 'not ended'; while :; do sleep 0.1; done"
END
on_terminal -- run stubborn.toml --grace 100s
await_line "^. a +[0-9]+s  not ended$"
terminal send-keys C-c
await_line "^SIGINT: waiting for a; again kills them$"
terminal send-keys C-c
await_end
[ "$status" -eq 130 ] || fail "status $status"
grep -q '^a | not ended$' seen && [ "$(grep -cE "$block" seen)" -eq 0 ] || fail "$(cat seen)"

it "what Lua steps print, and their records, are lines like others; os.exit leaves a clean screen"
given steps.lua <<'END'
local peri = require "perilune"
function go()
  while not require("perilune.fs").exists("begun") do peri.sleep(0.01) end
  io.write("never ", "ended")
  peri.log.warn("careful", { n = 1 })
  io.stderr:write("to stderr\n")
  peri.sleep(0.3)
  print(" but so")
  io.stdout:write("to stdout\n")
  peri.spawn(function() error("nobody looks", 0) end)
  peri.sleep(0.01)
  collectgarbage()
  peri.sleep(0.3)
  os.exit(7)
end
END
given lua.toml <<'END'
[steps.a]
lua = "steps.lua:go"
[steps.b]
sh = "printf begun; touch begun; sleep 1000"
END
on_terminal -- run lua.toml -j 2
await_end
[ "$status" -eq 7 ] || fail "status $status"
grep -q '^a | to stderr$' seen && grep -q '^a | to stdout$' seen || fail "$(cat seen)"
grep -q '^perilune: unobserved failure: .*nobody looks$' seen || fail "$(cat seen)"
grep -q '^a | never ended but so$' seen && grep -q 'WARN .* careful n=1$' seen && grep -q '^b | begun$' seen || fail "$(cat seen)"
[ "$(grep -cE "$block" seen)" -eq 0 ] || fail "$(cat seen)"

it "shows what stands after a carriage return, and lets no step move the cursor"
given codes.toml <<'END'
[steps.a]
sh = "printf '10%%\\r50%%\\r100%%\\n'; printf 'x\\033[2J\\033[1;1Hy\\033[31mred\\n'"
END
on_terminal -- run codes.toml
await_end
grep -q '^a | 100%$' seen && grep -q '^a | xyred$' seen || fail "$(cat seen)"

it "plain where the terminal is dumb or unknown: no escape codes at all"
for setting in TERM=dumb TERM= "-u TERM"; do
  on_terminal $setting -- run p.toml
  await_end
  grep -q '^a: done, ' seen || fail "$setting: $(cat seen)"
  ! grep -q "$(printf '\033')" raw || fail "$setting: $(cat -v raw)"
done

it "without colors where they are not wanted, which says nothing against the block"
on_terminal NO_COLOR=1 -- run p.toml
await_end
grep -q '^. a: done, ' seen && grep -q '0/2' raw || fail "$(cat -v raw)"
! grep -q "$(printf '\033')\[[0-9;]*m" raw || fail "$(cat -v raw)"

it "plain where a pipe takes the lines, since its reader may show them on the same terminal"
on_terminal -- run p.toml '| cat'
await_end
grep -q '^a | begun$' seen && ! grep -q "$block" seen && ! grep -q "$(printf '\033')\[2K" raw || fail "$(cat -v raw)"

it "after a stop it leaves alone what others have written meanwhile"
rm go
on_terminal -- run p.toml
await_line "$block"
pid=$(pgrep -P "$(terminal display-message -p '#{pane_pid}')")
kill -s STOP "$pid"
printf '\nmeanwhile\nanother line\n' >"$(terminal display-message -p '#{pane_tty}')"
await_line "^another line$"
kill -s CONT "$pid"
touch go
await_end
[ "$status" -eq 0 ] || fail "status $status"
grep -q '^meanwhile$' seen && grep -q '^another line$' seen && grep -q '^b | ended$' seen || fail "$(cat seen)"

it "standard output that is a file gets its lines, and the terminal shows the rest"
on_terminal -- run p.toml '>file'
await_end
printf 'a | begun\na | going\nb | ended\n' >expected
same expected file "standard output"
grep -q '^✓ b: done, ' seen && ! grep -q '^b | ended$' seen && [ "$(grep -cE "$block" seen)" -eq 0 ] || fail "$(cat seen)"

it "signs that every font has where the locale is not UTF-8"
on_terminal LC_ALL=C -- run p.toml
await_end
grep -q '^+ a: done, ' seen || fail "$(cat seen)"
! grep -q '[^ -~]' seen || fail "$(cat seen)"

it "estimates from earlier runs how long it will take"
given estimate.toml <<'END'
[steps.a]
sh = "sleep 2"
END
on_terminal -- run estimate.toml
await_end
on_terminal -- run estimate.toml
await_line "$block.*about [0-9]+s left"
await_end

it "estimates from others of a name where no earlier run can tell"
given items.toml <<'END'
[steps.a]
each = { sh = "seq 12" }
sh = "sleep 0.5"
END
on_terminal -- run items.toml -j 2
await_line "$block.*about [0-9]+s left"
await_end

it "an interactive step has the terminal for itself"
given ask.toml <<'END'
[steps.ask]
interactive = true
sh = "printf 'name? '; read name; echo hello $name"
END
on_terminal -- run ask.toml
await_line "^name\?$"
sleep 0.3
! screen | grep -qE "$block" || fail "$(screen)"
terminal send-keys world Enter
await_end
grep -q '^hello world$' seen || fail "$(cat seen)"

done_testing
