# What is kept between runs: one run at a time, and what happens where nothing can be kept.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[steps.a]
sh = "echo running; n=0; until [ -e go ] || [ $((n += 1)) -gt 1500 ]; do sleep 0.02; done; echo end"
[steps.b]
needs = ["a"]
sh = "echo b"
END

it "lets one run in at a time; the lock goes with its holder"
start run -q p.toml
await "a | running"
run run -q p.toml
[ "$status" -eq 75 ] && grep -q "^perilune: another run holds .*\.perilune$" err || fail "$status $(cat err)"
run resume -q -f p.toml
[ "$status" -eq 75 ] || fail "status $status"
run list -f p.toml
[ "$status" -eq 0 ] || fail "status $status"
touch go
finish
[ "$status" -eq 0 ] || fail "$(cat err)"
run run -q p.toml
[ "$status" -eq 0 ] || fail "$(cat err)"

it "lets the next in after a kill, and calls the killed run interrupted"
rm go
start run -q p.toml
await "a | running"
send KILL
finish
n=0 # the guard of the killed run holds the lock until it has ended the step
until run report -f p.toml; grep -q '"status": "interrupted"' out; do
  [ $((n += 1)) -lt 200 ] || { fail "the report: $(cat out)"; break; }
  sleep 0.05
done
run doctor -f p.toml
grep -q "^warn *state .*; the last run was interrupted; do: perilune resume" out || fail "the doctor: $(cat out)"
touch go
run run -q p.toml
[ "$status" -eq 0 ] || fail "$status $(cat err)"
run history -f p.toml
[ "$(grep -c interrupted out) $(grep -c success out)" = "1 3" ] || fail "$(cat out)"

it "keeps its folder out of version control"
[ "$(cat .perilune/.gitignore)" = "*" ] || fail "$(cat .perilune/.gitignore)"

it "says so where nothing can be kept"
mkdir odd
cp p.toml odd/perilune.toml
touch odd/.perilune
run run -C odd
[ "$status" -eq 1 ] && grep -q "^perilune: cannot keep the state of runs in .*/odd/.perilune: " err || fail "$status $(cat err)"
mkdir spoilt spoilt/.perilune
cp p.toml spoilt/perilune.toml
echo "this is no database, whatever its name says" >spoilt/.perilune/state.db
run run -C spoilt
[ "$status" -eq 1 ] && grep -q "cannot keep the state" err || fail "$status $(cat err)"

it "a run whose end cannot be stored is no success"
given end.toml <<'END'
[steps.a]
sh = "echo done"
END
given change.lua <<'END'
require("perilune.db").open(".perilune/state.db"):exec(arg[1])
END
run change.lua "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
expect 0
run run end.toml
[ "$status" -eq 1 ] && grep -q '^failure: 1 succeeded' err && ! grep -q '^success' err && grep -q 'disk is full' err || fail "$status $(cat err)"
run change.lua "DROP TRIGGER full"
run run -q end.toml
[ "$status" -eq 0 ] || fail "$status $(cat err)"

# A small file system of our own, where that is allowed.
mkdir small
if mount -t tmpfs -o size=256k tmpfs small 2>nothing; then
  trap 'cd /; umount "$folder/small"; rm -rf "$folder"' EXIT
  given small/perilune.toml <<'END'
[steps.fill]
sh = "echo begun; for i in 1 2 3 4 5 6 7 8 9; do printf '%60000s\n' x; done; echo end >../after"
[steps.next]
needs = ["fill"]
sh = "echo next >../next"
END
  it "breaks the run off when the disk is full, and says why"
  run run -C small
  [ "$status" -eq 1 ] || fail "status $status: $(tail -5 err)"
  grep -q "broken off: \|No space left\|disk is full" err || fail "$(tail -5 err)"
  [ ! -e next ] || fail "it went on"

  it "works again when there is room"
  rm -rf small/.perilune/runs
  sed -i 's/for i in .*done; //' small/perilune.toml
  run run -C small
  [ "$status" -eq 0 ] && [ -e next ] || fail "$status $(cat err)"

  it "says so in a folder that cannot be written"
  rm -rf small/.perilune
  mount -o remount,ro small
  run run -C small
  [ "$status" -eq 1 ] && grep -q "cannot keep the state of runs in .*: .*Read-only" err || fail "$status $(cat err)"
  run list -C small && run check -C small && run run -n -C small
  [ "$status" -eq 0 ] || fail "$(cat err)"
fi

done_testing
