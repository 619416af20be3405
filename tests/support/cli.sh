# Whole-program tests of the runner: a script in, standard output, standard error and exit status out. Sourced by
# tests/cli/*.sh, which run one after the other in an empty folder of their own. $PERILUNE is the program under test.
#
#   given FILE <<'END'        writes a file
#   run ARGS                  runs the program to its end
#   bounded ARGS              the same with the test's own redirections; the status is its own
#   start ARGS                runs it in the background, its output piped
#   await LINE                reads that output up to a line
#   send SIGNAL               sends a signal to it
#   finish                    reads the rest and waits for its end
#   expect STATUS [out|err]   compares the status, and the output (below, as <<'END') when one is named; the rest is empty
#
# A program that has not ended after a minute is killed, so that the test fails where it stands (status 137).

set -u
# What the runner asks the environment about where it runs; a test that means it sets it.
unset CI GITHUB_ACTIONS GITLAB_CI GITHUB_STEP_SUMMARY
: "${PERILUNE:?the program under test}"
support=$(cd "$(dirname "$0")/../support" && pwd) # screen.sh, pseudo_terminal.py
PYTHONPATH=$support
PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
what=""
failures=0
bound=60

it() { what=$*; }

given() { cat >"$1"; }

bounded() { timeout --foreground --signal KILL "$bound" "$PERILUNE" "$@"; }

run() {
  bounded "$@" >out 2>err
  status=$?
}

start() {
  rm -f pipe
  mkfifo pipe
  : >out
  "$PERILUNE" "$@" >pipe 2>err &
  pid=$!
  exec 3<pipe
  kill_when_late "$pid"
}

# `tail` ends with the program, so this leaves nothing behind.
kill_when_late() {
  { timeout "$bound" tail -f --pid="$1" /dev/null || kill -s KILL "$1"; } >/dev/null 2>&1 3<&- 4>&- &
}

await() {
  while IFS= read -r line <&3; do
    printf '%s\n' "$line" >>out
    [ "$line" != "$1" ] || return 0
  done
  fail "the program ended before it printed '$1'"
}

send() { kill -s "$1" "$pid"; }

finish() {
  cat <&3 >>out
  exec 3<&-
  wait "$pid"
  status=$?
}

fail() {
  failures=$((failures + 1))
  echo "FAILED: $what: $1"
}

same() {
  diff -u "$1" "$2" >difference || fail "$3:
$(cat difference)"
}

expect() {
  [ "$status" -eq "$1" ] || fail "exit status $status, expected $1
$(cat out err)"
  : >nothing
  if [ $# -gt 1 ]; then cat >expected; fi
  case "${2:-}" in
    out) same expected out "standard output" && same nothing err "standard error" ;;
    err) same expected err "standard error" && same nothing out "standard output" ;;
    "") same nothing out "standard output" && same nothing err "standard error" ;;
  esac
}

# As expect, where the other stream is looked at by the test itself.
expect_only() {
  [ "$status" -eq "$1" ] || fail "exit status $status, expected $1
$(cat out err)"
  cat >expected
  same expected "$2" "standard $2"
}

done_testing() { [ "$failures" -eq 0 ]; }
