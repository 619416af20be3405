# A screen for tests of what a person sees: the program under test on a real terminal, read as it stands there. Sourced after
# cli.sh.
#
#   on_terminal [VARIABLE=VALUE ...] -- ARGS   starts the program on a terminal of 80 columns
#   screen                                     prints what stands there
#   await_line PATTERN                         waits for a line
#   await_end                                  waits for the end of the program: its $status, and the last screen in `seen`

command -v tmux >/dev/null || { echo "needs tmux: sh scripts/setup.sh test"; exit 77; }
unset NO_COLOR CLICOLOR_FORCE GITHUB_ACTIONS GITLAB_CI TMUX
LC_ALL=C.UTF-8
TMUX_TMPDIR=$folder
export LC_ALL TMUX_TMPDIR
trap 'terminal kill-server 2>/dev/null; rm -rf "$folder"' EXIT

# Each program has a terminal server of its own: one that ends would still answer the next.
number=0
terminal() { tmux -f /dev/null -L "$number" "$@"; }

# Starts the program on a terminal of 80 columns; its bytes go to the file raw, its status to the file status. What stands
# before "--" is its environment.
on_terminal() {
  before=""
  number=$((number + 1))
  while [ "$1" != -- ]; do before="$before $1"; shift; done
  shift
  rm -f status raw
  cat >script <<END
trap : INT
until test -e piped; do sleep 0.01; done
env $before "$PERILUNE" $*
echo \$? >status.new
mv status.new status
sleep 1000
END
  rm -f piped
  terminal new-session -d -x 80 -y 20 "sh script"
  terminal pipe-pane "cat >raw"
  touch piped
}

screen() { terminal capture-pane -p -S - | sed -e 's/ *$//' -e '/^$/d'; }

# Waits until a command succeeds, a minute at most: what it waits for, the command.
await_that() {
  what_for=$1
  late=$(($(date +%s) + 60))
  shift
  until "$@"; do
    [ "$(date +%s)" -lt $late ] || { fail "$what_for:
$(screen)"; return 1; }
    sleep 0.02
  done
}

# Waits until the screen has a line that matches.
await_line() { await_that "no line '$1' on the screen" shows "$1"; }
shows() { screen | grep -qE "$1"; }

# Waits for the end of the program.
await_end() {
  await_that "it does not end" test -e status && status=$(cat status)
  screen >seen
  terminal kill-server
}
