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

it "--dry-run: what would run, what is up to date, what would be left out"
mkdir dry
given dry/perilune.toml <<'EOF'
[steps.use]
needs   = ["make", "say"]
sh      = "cat made >used"
inputs  = ["made"]
outputs = ["used"]
[steps.make]
sh      = "echo 1 >made"
outputs = ["made"]
[steps.say]
sh = "true"
[steps.mend]
when = "failure"
sh   = "true"
[steps.left]
if   = "env.NO_SUCH_VARIABLE"
needs = ["use"]
sh   = "true"
EOF
run run -n -C dry
expect 0 out <<'EOF'
make: echo 1 >made
say: true
use: cat made >used
mend: would be skipped: nothing failed
left: would be skipped: if: env.NO_SUCH_VARIABLE
EOF
[ ! -e dry/.perilune ] || fail "it left a state"
run run -q -C dry
run run -n -C dry use
sed -i 's/run [0-9].*/run RUN/' out
expect 0 out <<'EOF'
make: up to date since run RUN
say: true
use: up to date since run RUN
mend: would be skipped: nothing failed
EOF
rm dry/made
run run -n -v -C dry use --skip say
expect 0 out <<'EOF'
make: echo 1 >made [output made is missing]
say: would be skipped: --skip
use: cat made >used [input made is missing]
mend: would be skipped: nothing failed
EOF
echo 1 >dry/made
run run -n -F -C dry --json make
[ "$(field '')" = '[{"command": "echo 1 >made", "key": "make", "reason": "forced", "verdict": "would run"}, {"command": "true", "key": "mend", "reason": "nothing failed", "verdict": "would be skipped"}]' ] || fail "$(cat out)"
sed -i 's/echo 1/echo 2/' dry/perilune.toml
run run -n -v -C dry --only make,use
expect 0 out <<'EOF'
make: echo 2 >made [the command changed]
use: cat made >used [what it needs would run]
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
perilune: bad.toml:8:1: steps.f: if: there is no 'version'
perilune: bad.toml:11:1: steps.b: matrix.exclud: single values expected, got a table; did you mean 'exclude'?
perilune: bad.toml:13:1: steps.j: lua: "FILE:FUNCTION" expected, got 'checks.lua'
perilune: bad.toml:15:1: steps.a.argv: there is no run.stats; did you mean 'status'?
EOF

it "check --json: the problems of a file that is none, with their places"
run check bad.toml --json
[ "$status" -eq 3 ] && grep -q "^perilune: bad.toml:8:1: " err || fail "$status $(cat err)"
[ "$(field "['file'], len(json.load(open('out'))['problems'])")" = '["bad.toml", 5]' ] || fail "$(cat out)"
[ "$(field "['problems'][1]")" = '{"column": 1, "file": "bad.toml", "line": 8, "message": "steps.f: if: there is no '"'version'"'"}' ] || fail "$(cat out)"
printf 'require "perilune.pipeline"\nerror "boom"\n' >bad.lua
run check bad.lua --json
[ "$status" -eq 3 ] && [ "$(field "['problems']")" = '[{"file": "bad.lua", "line": 2, "message": "boom"}]' ] || fail "$status $(cat out)"

it "check: a word that is none of those expected, and what was meant; every problem once"
given words.toml <<'EOF'
[steps]
x = "echo"
[steps.a]
argv    = ["true"]
timeout = "2x"
when    = "sucess"
fail    = "fats"
[steps.built]
argv  = ["true"]
needs = ["bulit"]
retry = { on = ["signal:FOO"] }
EOF
run check words.toml
expect 3 err <<'EOF'
perilune: words.toml:2:1: steps.x: a table expected, got string
perilune: words.toml:5:1: steps.a.timeout: a duration like "90s" or "2m" expected, got '2x'
perilune: words.toml:6:1: steps.a.when: one of success, failure, cancelled, always expected, got 'sucess'; did you mean 'success'?
perilune: words.toml:7:1: steps.a.fail: one of collect, fast expected, got 'fats'; did you mean 'fast'?
EOF
sed -i '/^x\|timeout\|when\|fail/d' words.toml
run check words.toml
expect 3 err <<'EOF'
perilune: words.toml:7:1: steps.built: retry.on: "exit:6,7", "signal:KILL", "timeout" or "failure" expected, got 'signal:FOO'
EOF
sed -i '/retry/d' words.toml
run check words.toml
expect 3 err <<'EOF'
perilune: words.toml:6:1: step 'built' needs 'bulit', which does not exist; did you mean 'built'?
EOF

it "check: what stands where something else is expected"
given kinds.toml <<'EOF'
steps.d = 3
[pipeline]
jobs = 0
[params]
x = "y"
[steps.a]
argv  = ["echo", ["x"]]
env   = { B = ["x"] }
limit = 0
[steps.b]
argv = ["true"]
each = 5
[steps.c]
argv = ["true"]
each = { argv = ["list"], sh = "list" }
timeout = -1
EOF
run check kinds.toml
expect 3 err <<'EOF'
perilune: kinds.toml:1:7: steps.d: a table expected, got 3
perilune: kinds.toml:3:1: pipeline.jobs: a whole number from 1 on expected, got 0
perilune: kinds.toml:5:1: params.x: a table expected, got string
perilune: kinds.toml:7:1: steps.a.argv: a list of single words expected, got table
perilune: kinds.toml:8:1: steps.a.env: a table of names and single values expected, got table
perilune: kinds.toml:9:1: steps.a.limit: a whole number from 1 on expected, got 0
perilune: kinds.toml:12:1: steps.b.each: a list, a command, or the value of a step expected, got 5
perilune: kinds.toml:15:1: steps.c.each: only one of argv, sh, lua and items
perilune: kinds.toml:16:1: steps.c.timeout: a duration like "90s" or "2m" expected, got -1
EOF
given lists.toml <<'EOF'
[[steps]]
argv = ["true"]
EOF
run check lists.toml
expect 3 err <<'EOF'
perilune: lists.toml:1:3: steps: a table of names expected, got table
EOF

done_testing
