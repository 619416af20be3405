# The commands that only look at steps: show, why, check, list. They tell of every kind of step, and never write.
. "$(dirname "$0")/../support/cli.sh"

given perilune.toml <<'EOF'
[steps.fetch]
argv    = ["./fetch"]
timeout = "2m"
retry   = { attempts = 4, backoff = "1s..30s", jitter = 0.2, on = ["exit:6,7", "timeout"] }
[steps.build]
matrix  = { arch = ["a", "b"] }
sh      = "cat in.txt >${matrix.arch}.out"
inputs  = ["in.txt"]
outputs = ["${matrix.arch}.out"]
[steps.test]
needs = ["build"]
each  = { argv = ["./list-tests"] }
argv  = ["./run-test", "${item.name}", "${steps.fetch.value}"]
fail  = "collect"
[steps.publish]
if     = "params.channel == 'stable'"
argv   = ["./publish", "${run.status}"]
effect = true
[params]
channel = { type = "string", default = "stable" }
EOF
echo 1 >in.txt

# The value of a field of what was printed as JSON.
field() { python3 -c 'import json, sys; print(json.dumps(eval("json.load(open(\"out\"))" + sys.argv[1]), sort_keys=True))' "$1"; }

it "show: what only a run knows stays as it is written"
run show test
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
[ "$(field "['command']")" = "\"./run-test '\${item.name}' '\${steps.fetch.value}'\"" ] || fail "$(cat out)"
[ "$(field "['each']['argv'], json.load(open('out'))['fail']")" = '[["./list-tests"], "collect"]' ] || fail "$(cat out)"
run run -n publish
expect 0 out <<'EOF'
publish: ./publish '${run.status}'
EOF

it "show: retry, timeout, effect and the row of a matrix"
run show fetch
[ "$(field "['retry']")" = '{"attempts": 4, "backoff": [1, 30], "factor": 2, "jitter": 0.2, "on": ["exit:6,7", "timeout"]}' ] || fail "$(cat out)"
run show publish
[ "$(field "['effect'], json.load(open('out'))['if']")" = "[true, \"params.channel == 'stable'\"]" ] || fail "$(cat out)"
run show 'build[arch=b]'
[ "$(field "['matrix']")" = '{"arch": "b"}' ] || fail "$(cat out)"

it "why: a matrix is told of row by row, and would run where one of them would"
run run -q 'build[arch=a]'
run why build
sed -i 's/run [0-9].*/run RUN/' out
expect 10 out <<'EOF'
build[arch=a]: up to date since run RUN
build[arch=b]: would run: it has not succeeded yet
EOF

it "why: what is left out, what has an effect, what is known only in a run"
run why publish -p channel=beta
expect 0 out <<'EOF'
publish: would be skipped: if: params.channel == 'stable'
EOF
run why publish
expect 10 out <<'EOF'
publish: would run: it has an effect
EOF
given known.toml <<'EOF'
[steps.a]
sh      = "echo ${steps.b.value} >a.txt"
outputs = ["a.txt"]
[steps.b]
sh      = "echo b"
capture = "text"
EOF
run why -f known.toml a
expect 10 out <<'EOF'
a: would run: ${steps.b.value} is known when it runs
EOF

it "why and check say it as JSON too"
run why publish --json
[ "$status" -eq 10 ] || fail "status $status"
[ "$(field "")" = '[{"key": "publish", "reason": "it has an effect", "verdict": "would run"}]' ] || fail "$(cat out)"
run check --json --stale
[ "$status" -eq 10 ] || fail "status $status"
[ "$(field "['steps'], [one['key'] for one in json.load(open('out'))['stale']]")" = '[6, ["fetch", "build[arch=b]", "test", "publish"]]' ] || fail "$(cat out)"

it "takes a file as a word, and no word too many"
run list known.toml
expect 0 out <<'EOF'
a
b
EOF
run list known.toml other
expect 2 err <<'EOF'
perilune: list: 'other' is too much; see perilune list --help
EOF
run history x
expect 2 err <<'EOF'
perilune: history: 'x' is too much; see perilune history --help
EOF

it "check: every mistake in the order of its place"
given bad.toml <<'EOF'
[params]
version = { type = "string", default = "1" }
[steps."größe"]
argv = ["true"]
if   = "params.vresion == '1' or params.channel"
[steps.f]
argv = ["true"]
if   = "version == '1'"
[steps.b]
argv   = ["true"]
matrix = { x = ["1"], exclud = [{ x = "1" }] }
[steps.j]
lua = "checks.lua"
[steps.a]
argv = ["echo", "${run.stats}"]
EOF
run check bad.toml
expect 3 err <<'EOF'
perilune: bad.toml:5:1: steps.größe.if: there is no params.vresion; did you mean 'version'?
perilune: bad.toml:6:8: steps.f: if: there is no 'version'
perilune: bad.toml:9:8: steps.b: matrix.exclud: single values expected, got a table; did you mean 'exclude'?
perilune: bad.toml:12:8: steps.j: lua: "FILE:FUNCTION" expected, got 'checks.lua'
perilune: bad.toml:15:1: steps.a.argv: there is no run.stats; did you mean 'status'?
EOF

done_testing
