# What is done to a project rather than with it: init, clean, doctor, schema.
. "$(dirname "$0")/../support/cli.sh"

it "init writes a pipeline that checks, runs and is up to date then"
mkdir fresh
run init -C fresh
expect 0 out <<'EOF'
wrote fresh/perilune.toml; next: perilune list, perilune run
EOF
run check -C fresh
[ "$status" -eq 0 ] || fail "$(cat err)"
run run -C fresh -q
expect 0 out <<EOF
check | Hello, $(whoami)
report | the run ended: success
EOF
run why -C fresh build
[ "$status" -eq 0 ] || fail "$(cat out)"

it "init in a folder that is not there"
run init -C none
expect 2 err <<'END'
perilune: --directory: there is no folder none
END

it "init overwrites nothing"
run init -C fresh
expect 2 err <<'EOF'
perilune: fresh/perilune.toml is there already
EOF

it "clean says what it would remove, removes outputs and state, and nothing else"
echo mine >fresh/out/mine.txt
run clean -C fresh -n
expect 0 out <<'EOF'
would remove out/greeting.txt
would remove .perilune, the state and the logs of all runs
EOF
[ -e fresh/out/greeting.txt ] && [ -d fresh/.perilune ] || fail "a dry run removed something"
run clean -C fresh
expect 0 out <<'EOF'
removed out/greeting.txt
removed .perilune, the state and the logs of all runs
EOF
[ ! -e fresh/out/greeting.txt ] && [ ! -e fresh/.perilune ] && [ -e fresh/out/mine.txt ] || fail "$(ls -aR fresh)"

it "clean STEP removes the outputs of that step, which runs again then"
given two.toml <<'EOF'
[steps.a]
sh = "echo a >a.txt"
outputs = ["a.txt"]
[steps.b]
matrix = { n = [1, 2] }
sh = "echo b >b${matrix.n}.txt"
outputs = ["b${matrix.n}.txt"]
EOF
run run two.toml -q
run clean -f two.toml b
expect 0 out <<'EOF'
removed b1.txt
removed b2.txt
EOF
run why -f two.toml a
[ "$status" -eq 0 ] || fail "$(cat out)"
run why -f two.toml 'b[n=1]'
[ "$status" -eq 10 ] || fail "$(cat out)"
run clean -f two.toml c
expect 2 err <<'EOF'
perilune: unknown step 'c'
EOF

it "clean removes what items of fan-outs and steps of Lua have made"
given fan.lua <<'EOF'
local p = require("perilune.pipeline").new("fan")
p:main(function(ctx) ctx:map("t", { "x", "y" }, function(v) return { sh = "echo >" .. v .. ".t", outputs = { v .. ".t" } } end) end)
return p
EOF
given fan.toml <<'EOF'
[steps.t]
each    = ["x", "y"]
sh      = "echo >${item}.t"
outputs = ["${item}.t"]
EOF
run run fan.toml -q
run clean -f fan.toml "t[x]"
expect 0 out <<'EOF'
removed x.t
EOF
run run fan.toml -q
[ -e x.t ] || fail "it does not run again: $(cat err)"
run clean -f fan.toml t
expect 0 out <<'EOF'
removed x.t
removed y.t
EOF
run run fan.lua -q
run clean -f fan.lua -n
[ "$status" -eq 0 ] && grep -q '^would remove x.t$' out && grep -q '^would remove y.t$' out || fail "$(cat out err)"
[ -e x.t ] && [ -e y.t ] || fail "a dry run removed something"
run clean -f fan.toml "t[z]"
expect 2 err <<'EOF'
perilune: unknown step 't[z]'
EOF

it "clean leaves what lies outside the folder"
mkdir inner
given inner/p.toml <<'EOF'
[steps.out]
sh = "echo x >../outside.txt"
outputs = ["../outside.txt"]
EOF
run run inner/p.toml -q
run clean -f inner/p.toml
[ -e outside.txt ] || fail "it removed ../outside.txt"
grep -q "outside the folder" err || fail "$(cat err)"

it "doctor tells of a program that is not there, of a damaged database, and exits with 1 for what is bad"
given ill.toml <<'EOF'
[steps.a]
argv = ["no-such-program-here"]
EOF
run doctor -f ill.toml
[ "$status" -eq 0 ] || fail "status $status"
grep -q '^warn  programs     not there: no-such-program-here (a); do: ' out || fail "$(cat out)"
grep -q '^ok    database     SQLite 3' out || fail "$(cat out)"
run run two.toml -q
printf 'this is no database, whatever its name says' >.perilune/state.db
rm -f .perilune/state.db-wal .perilune/state.db-shm
run doctor -f two.toml
[ "$status" -eq 1 ] || fail "status $status"
grep -q '^bad   state  .*; do: perilune clean' out || fail "$(cat out)"
run doctor --json -f two.toml
python3 -c 'import json; assert any(f["state"] == "bad" for f in json.load(open("out")))' || fail "$(cat out)"
rm -r .perilune

it "the schema takes the pipelines of the guide, and refuses what check refuses"
run schema
[ "$status" -eq 0 ] || fail "status $status"
cp out schema.json
given validate.py <<'EOF'
import json, sys, tomllib
schema = json.load(open("schema.json"))
try:
    import jsonschema
except ImportError:
    sys.exit(0)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for path in sys.argv[2:]:
    problems = list(validator.iter_errors(tomllib.load(open(path, "rb"))))
    if bool(problems) != (sys.argv[1] == "bad"):
        print(path, [p.message for p in problems])
        sys.exit(1)
EOF
examples="$(dirname "$0")/../../examples/pipelines"
case $examples in /*) ;; *) examples="$OLDPWD/$examples" ;; esac
python3 validate.py good fresh/perilune.toml two.toml $(ls "$examples"/*.toml 2>/dev/null) >said || fail "$(cat said)"
for good in 'retry = 2' 'retry = { on = "timeout", backoff = "1s..1m30s" }' 'retry = { on = ["exit:6,7", "signal:SIGKILL"], backoff = [1, "2s"] }' \
  'retry = { attempts = 2, factor = 1.5, jitter = 1, backoff = "250ms" }' 'lua = "checks.lua:all"'; do
  printf '[steps.a]\n%s\n' "$good" >good.toml
  python3 validate.py good good.toml >said || fail "refused: $good"
  run check good.toml
  [ "$status" -eq 0 ] || fail "check refuses: $good"
done
for bad in 'neds = ["a"]' 'argv = []' 'when = "now"' 'timeout = "soon"' 'sh = "x"
argv = ["y"]' 'retry = { tries = 2 }' 'outputs = [1]' 'retry = { attempts = 0 }' 'retry = { on = ["exit"] }' 'retry = { jitter = 2 }' \
  'retry = { backoff = "soon" }' 'lua = "checks.lua"' 'sh = "x"
[executors.local]
kind = "slurm"'; do
  printf '[steps.a]\n%s\n' "$bad" >bad.toml
  python3 validate.py bad bad.toml >said || fail "taken: $bad"
  run check bad.toml
  [ "$status" -eq 3 ] || fail "check takes: $bad"
done

it "runs in folders and with files whose names are any bytes"
odd=$(printf 'odd\377 "na me"')
mkdir -p "$odd" && cp /dev/null "$odd/$(printf 'in\376')"
cat >"$odd/perilune.toml" <<'END'
[steps.a]
sh = "cat in* >out; echo here"
inputs = ["in*"]
outputs = ["out"]
END
run run -C "$odd"
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
run why -C "$odd" a
[ "$status" -eq 0 ] && grep -q "up to date" out || fail "status $status: $(cat out err)"
echo more >"$odd/$(printf 'in\376')"
run why -C "$odd" a
[ "$status" -eq 10 ] && grep -q 'input in.xfe changed' out || fail "status $status: $(cat out err)"
for words in "list --json" "show a" "report" "history --json" "graph --format json"; do
  run $words -C "$odd"
  [ "$status" -eq 0 ] || fail "$words: $status $(cat err)"
done

it "says why a file cannot be opened"
mkdir -p folder.toml
run check folder.toml
[ "$status" -eq 2 ] && grep -q "cannot open folder.toml: Is a directory" err || fail "$status $(cat err)"
run list -f none.toml
expect 2 err <<'END'
perilune: cannot open none.toml: No such file or directory
END

done_testing
