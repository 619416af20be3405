# Ctrl-Z, bg and fg: a run is a job of the shell as others are. In a real shell on a real terminal.
. "$(dirname "$0")/../support/cli.sh"
. "$support/screen.sh"

command -v bash >/dev/null || exit 77

# A shell with job control; what is typed into it.
in_shell() {
  number=$((number + 1))
  terminal new-session -d -x 100 -y 40 "PS1='ready> ' exec bash --norc --noprofile -i"
  await_line '^ready>'
}
types() { terminal send-keys "$@"; }

stopped='^\[1\]\+ +Stopped .*run'
stopped_twice() { [ "$(screen | grep -cE "$stopped")" -eq 2 ]; }
block='^[━─]+ [0-9]+/[0-9]+'

given ask.toml <<'END'
[steps.ask]
interactive = true
sh = "echo asks; read name; echo hello $name"
[steps.beside]
sh = "until test -e go; do echo . >>ticks; sleep 0.02; done"
END

# Whether a file does not grow.
stands_still() {
  before=$(wc -l <ticks)
  sleep 0.2
  [ "$(wc -l <ticks)" -eq "$before" ]
}
grows() { ! stands_still; }

it "an interactive step that is stopped takes the run with it, and the shell gets the terminal back"
in_shell
types "'$PERILUNE' run -j 2 ask.toml" Enter
await_line '^asks$'
types C-z
await_line "$stopped"
await_that "the others do not stop" stands_still
types "echo shell' 'here" Enter
await_line '^shell here$'

it "... and in the foreground again it goes on where it was"
types fg Enter
await_that "the others do not go on" grows
types C-z
await_that "it does not stop again" stopped_twice
types fg Enter
await_that "the others do not go on" grows
types world Enter
await_line '^hello world$'
touch go
await_line '^success: '
terminal kill-server
rm -f go ticks

it "a run whose steps are not interactive stops with them"
given plain.toml <<'END'
[steps.plain]
sh = "echo begun; until test -e go; do echo . >>ticks; sleep 0.02; done; echo over"
END
in_shell
types "'$PERILUNE' run plain.toml" Enter
await_line '^plain \| begun$'
await_line "$block"
types C-z
await_line "$stopped"
await_that "the step does not stop" stands_still
! shows "$block" || fail "$(screen)"

it "... paints nothing in the background"
types "printf middle" Enter
await_line "middle"
types "bg" Enter
await_that "the step does not go on" grows
! shows "$block" || fail "$(screen)"

it "... and begins on a line of its own in the foreground"
types "fg" Enter
await_line "$block"
touch go
await_line '^success: '
shows '^plain \| over$' && shows '^middleready> bg$' && ! shows "$block" || fail "$(screen)"
terminal kill-server

it "limits of time stand still meanwhile, of the run too"
rm go
given limits.toml <<'END'
[steps.limited]
timeout = "8s"
sh = "echo begun; until test -e go; do sleep 0.02; done; echo over"
[steps.function]
lua = "limited.lua:wait"
timeout = "8s"
END
cat >limited.lua <<'END'
local peri = require "perilune"
return { wait = function()
  while not peri.fs.exists "go" do peri.sleep(0.02) end
end }
END
in_shell
types "'$PERILUNE' run --timeout 8s limits.toml" Enter
await_line '^limited \| begun$'
types C-z
await_line "$stopped"
sleep 9
types "fg" Enter
await_line "$block"
touch go
await_line '^success: '
terminal kill-server

it "where no shell could continue it, Ctrl-Z stops nothing for good"
rm go
on_terminal -- run -j 2 ask.toml
await_line '^asks$'
types C-z
types world Enter
await_line '^hello world$'
touch go
await_end
[ "$status" -eq 0 ] || fail "status $status"

done_testing
