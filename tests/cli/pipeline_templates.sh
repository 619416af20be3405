# `${ns.name}` is replaced everywhere: in commands when they run, in what decides how steps hang together when the file is read.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[pipeline]
env = { V = "${params.v}", KEY = "${secrets.key}", MINE = "${params.v}" }
[params]
v = { default = "1.2" }
limit = { default = "10s" }
back = { default = "build" }
fn = { default = "go" }
[secrets]
key = { env = "SECRET_KEY" }
[pools]
small = 1
[steps.build]
doc = "build ${params.v} for ${matrix.arch}"
matrix = { arch = ["a", "b"], pool = ["small"] }
pool = "${matrix.pool}"
timeout = "${params.limit}"
sh = "echo build ${matrix.arch}"
[steps.test]
matrix = { arch = ["a", "b"] }
needs = ["${params.back}[arch=${matrix.arch},pool=small]"]
sh = "echo test ${matrix.arch} $V $KEY $MINE"
[steps.items]
each = ["${params.v}", "x"]
sh = "echo ${item}"
[steps.lua]
lua = "f.lua:${params.fn}"
[steps.maybe]
if = "'${params.v}' == '1.2'"
sh = "echo maybe"
[steps.slow]
sh = "sleep 1; echo slow"
timeout = "${params.limit}"
END
echo 'function go() print "gone" end' >f.lua
export SECRET_KEY=sw0rdfish

it "in what a step needs, by the row of its matrix"
run run p.toml -q -j 1 "test[arch=b]"
expect_only 0 out <<'END'
build[arch=b,pool=small] | build b
test[arch=b] | test b 1.2 *** 1.2
END

it "in the environment of the pipeline, unless somebody has set it to something else"
MINE='${params.fn}' run run p.toml -q -j 1 "test[arch=b]"
grep -qxF 'test[arch=b] | test b 1.2 *** ${params.fn}' out || fail "$(cat out err)"

it "in items, functions, conditions, limits and descriptions"
run run p.toml -q -j 1 items lua maybe
sort -o out out
expect_only 0 out <<'END'
items[1.2] | 1.2
items[x] | x
lua | gone
maybe | maybe
END
run run p.toml -q maybe -p v=2
[ "$status" -eq 0 ] && [ ! -s out ] || fail "$status $(cat out)"
run run p.toml -q slow -p limit=50ms
[ "$status" -eq 1 ] && grep -q "did not end within 0.05s" err || fail "$status $(cat err)"
run list -f p.toml
grep -qx "build\[arch=a,pool=small\]  *build 1.2 for a" out || fail "$(cat out)"

it "says where one is of no use"
run run p.toml slow -p limit=soon
expect 3 err <<'END'
perilune: p.toml:16:1: steps.build: timeout: a duration like "90s" or "2m" expected, got 'soon'
perilune: p.toml:20:1: step 'test[arch=a]' needs 'build[arch=a,pool=small]', which does not exist
perilune: p.toml:20:1: step 'test[arch=b]' needs 'build[arch=b,pool=small]', which does not exist
perilune: p.toml:32:1: steps.slow: timeout: a duration like "90s" or "2m" expected, got 'soon'
END

it "in what [pipeline] says, in the values of a matrix, in defaults and pauses"
mkdir whole
given whole/perilune.toml <<'END'
[pipeline]
dotenv  = ["${params.stage}.env"]
default = "${params.target}[on=${env.HOST_OF}]"
timeout = "${params.limit}"
[params]
target = { default = "${params.verb}-it" }
stage  = { default = "${env.STAGE}" }
verb   = { default = "ship" }
limit  = { default = "1h" }
[steps.ship-it]
matrix = { on = ["${env.HOST_OF}", "${params.stage}"], exclude = [{ on = "prod" }] }
sh     = "echo ${matrix.on}; exit 1"
retry  = { attempts = 2, backoff = "${params.limit}ms" }
END
echo 'HOST_OF=alpha' >whole/prod.env
STAGE=prod run run -C whole -q -p limit=20
expect_only 1 out <<'END'
ship-it[on=alpha] | alpha
ship-it[on=alpha] | alpha
END
STAGE=prod run run -C whole -q -p limit=50ms
[ "$status" -eq 3 ] && grep -qF "steps.ship-it: retry.backoff: a range" err || fail "$status $(cat err)"
sed -i '/^retry/d; s/exit 1/sleep 5/' whole/perilune.toml
STAGE=prod run run -C whole -q -p limit=50ms
[ "$status" -eq 124 ] || fail "$status $(cat err)"
run list -C whole
[ "$status" -eq 3 ] || fail "status $status"

it "in numbers and lists: of jobs, pools, limits, retries, items, exclusions; in patterns and choices, names of secrets and of the whole"
given every.toml <<'END'
[pipeline]
name = "release ${params.v}"
jobs = "${params.n}"
[params]
n     = { default = "2" }
v     = { default = "1.2", choices = ["1.2", "${env.OTHER}"] }
w     = { default = "${params.n}nd", pattern = '^${params.n}nd$' }
codes = { default = "6,7" }
what  = { default = "exit" }
list  = { default = "a\nb" }
stage = { default = "dev" }
[secrets]
key = { file = "${params.stage}.key" }
[pools]
net = "${params.n}"
[steps.again]
sh    = 'echo x >>tries; test "$(wc -l <tries)" -ge 3 || exit 7'
retry = { attempts = "${params.n}", backoff = ["1ms", "${params.n}ms"], factor = "${params.n}", jitter = "0.${params.n}", on = ["${params.what}:${params.codes}"] }
[steps.items]
each  = "${params.list}"
limit = "${params.n}"
pool  = "net"
argv  = ["echo", "${item}", "${secrets.key}"]
[steps.tables]
each = [{ name = "${params.v}", n = 1 }]
sh   = "echo ${item.name}"
[steps.rows]
matrix = { a = ["1.2", "x"], exclude = [{ a = "${params.v}" }] }
sh     = "echo ${matrix.a}"
[steps.twice]
sh    = "echo >>twice; exit 1"
retry = "${params.n}"
END
echo sw0rdfish >dev.key
export OTHER=other
run run every.toml -q -j 1 items tables rows
expect_only 0 out <<'END'
items[a] | a ***
items[b] | b ***
tables[{"n":1,"name":"1.2"}] | 1.2
rows[a=x] | x
END
run run every.toml -q again
[ "$status" -eq 1 ] && [ "$(wc -l <tries)" -eq 2 ] && grep -q "again: attempt 1/2: exit 7, again in [12]ms" err || fail "$status $(cat err)"
run run every.toml -q -p what=signal -p codes=KILL again
[ "$status" -eq 0 ] || fail "$status $(cat err)"
run run every.toml -q twice
[ "$status" -eq 1 ] && [ "$(wc -l <twice)" -eq 2 ] || fail "$status $(cat err)"
run show -f every.toml items
grep -qx '  "limit": 2,' out || fail "$(cat out)"
run report -f every.toml last
grep -q '"pipeline": "release 1.2"' out || fail "$(cat out)"
says() {
  said=$1 code=$2
  shift 2
  run run every.toml "$@"
  [ "$status" -eq "$code" ] && grep -qxF "perilune: $said" err || fail "$*: $status $(cat err)"
}
says "every.toml:3:1: pipeline.jobs: a whole number from 1 on expected, got '0'" 3 -p n=0
says "every.toml:18:1: steps.again: retry.on: \"exit:6,7\", \"signal:KILL\", \"timeout\" or \"failure\" expected, got 'exot:6,7'" 3 -p what=exot
says "parameter 'v': one of 1.2, other expected, got '3'" 2 -p v=3
says "parameter 'w': '2nd' does not match ^3nd\$" 2 -p n=3 -p w=2nd

it "says where a name of the whole is not there"
given settings.toml <<'END'
[pipeline]
timeout = "${params.nope}"
env     = { A = "${params.no}", B = "${matrix.x}" }
cwd     = "${matrix.x}"
[steps.a]
matrix = { x = ["."] }
sh     = "true"
END
run check settings.toml
expect 3 err <<'END'
perilune: settings.toml:2:1: pipeline.timeout: there is no params.nope
perilune: settings.toml:3:1: pipeline.env: there is no params.no
perilune: settings.toml:3:1: pipeline.env: there is no matrix.x
END
sed -i '2,3d' settings.toml
run run settings.toml
[ "$status" -eq 0 ] || fail "$(cat err)"
printf '[pools]\nnet = "${env.NOT_THERE}"\n[steps.a]\nsh = "true"\nwhen = "${params.x}"\n' >pool.toml
run check pool.toml
grep -q "pool.toml:5:1: steps.a.when: one of success, failure, cancelled, always expected, got '\${params.x}'" err || fail "$(cat err)"
sed -i '/^when/d' pool.toml
run check pool.toml
expect 3 err <<'END'
perilune: pool.toml:2:1: pools.net: ${env.NOT_THERE} has no value
END

it "in what a pipeline in Lua says before it runs, also by flags behind its file"
given early.lua <<'END'
local p = require("perilune.pipeline").new("early", { timeout = "${params.limit}", default = "${params.target}", pools = { net = "${params.n}" },
  dotenv = "${params.stage}.env", params = { n = { default = "2" }, limit = { default = "1h" }, stage = { default = "dev" },
                                             pool = { default = "net" }, target = { default = "a" } } })
p:step("a", { pool = "${params.pool}", limit = "${params.n}", each = { "x", "${params.n}" }, sh = "echo ${item} $WHERE" })
p:step("b", { needs = { "${params.target}" }, sh = "sleep 5" })
return p
END
echo WHERE=here >dev.env
echo WHERE=there >prod.env
run run -q -j 1 early.lua
expect_only 0 out <<'END'
a[x] | x here
a[2] | 2 here
END
run run -q -j 1 early.lua -p stage=prod -p n=1
expect_only 0 out <<'END'
a[x] | x there
a[1] | 1 there
END
run run early.lua -p pool=nat
[ "$status" -eq 3 ] && grep -qx "perilune: early.lua:4: step 'a': there is no pool 'nat'; did you mean 'net'?" err || fail "$status $(cat err)"
run run -p limit=soon early.lua
[ "$status" -eq 3 ] && grep -qx "perilune: early.lua:1: pipeline.timeout: a duration like \"90s\" or \"2m\" expected, got 'soon'" err ||
  fail "$status $(cat err)"
run run early.lua -q -p limit=100ms b
[ "$status" -eq 124 ] || fail "$status $(cat err)"
run resume -f early.lua -p limit=1h -p pool=nat
[ "$status" -eq 3 ] && grep -q "no pool 'nat'" err || fail "$status $(cat err)"

it "knows a namespace that is nearly one of its own"
given nearly.toml <<'END'
[params]
v = { default = "1" }
[steps.a]
argv = ["echo", "${param.v}"]
[steps.b]
each = ["x"]
sh   = "echo ${items.n} ${item} ${items}"
[steps.c]
sh = "other='${other.v}'; v=1; echo ${v} ${params.v}"
END
run check nearly.toml
expect 3 err <<'END'
perilune: nearly.toml:4:1: steps.a.argv: there is no ${param.v}; did you mean '${params.v}'?
perilune: nearly.toml:7:1: steps.b.sh: there is no ${items.n}; did you mean '${item.n}'?
END

it "says what is wrong with what a default names"
given default.toml <<'END'
[params]
a = { default = "${secrets.key}" }
b = { default = "${params.d}" }
[steps.s]
sh = "true"
matrix = { x = ["${params.bb}"] }
END
run check default.toml
expect 3 err <<'END'
perilune: default.toml:2:7: params.a.default: only ${env.NAME} and ${params.NAME} are known here, got ${secrets.key}
perilune: default.toml:3:7: params.b.default: there is no params.d
END
sed -i '/^a/d; s/^b.*/b = { default = "${params.c}" }\nc = { default = "${params.b}" }/' default.toml
run check default.toml
expect 3 err <<'END'
perilune: default.toml:4:8: steps.s: parameters: a cycle: b -> c -> b
perilune: default.toml:6:1: steps.s.matrix: there is no params.bb
END
sed -i '/^matrix/d; s/params.b}/env.NO_SUCH_VARIABLE}/' default.toml
run run default.toml
expect 3 err <<'END'
perilune: parameter 'c': ${env.NO_SUCH_VARIABLE} has no value
END

it "says why the name of a step has no value"
given steps.toml <<'END'
[steps.first]
sh = "true"
[steps.silent]
needs = ["first"]
argv  = ["echo", "${steps.first.value}"]
[steps.other]
needs = ["first"]
argv  = ["echo", "${steps.frist.value}"]
END
cat >>steps.toml <<'END'
[steps.whole]
sh      = "echo '{\"a\": 1}'"
capture = "json"
[steps.part]
needs = ["whole"]
argv  = ["echo", "${steps.whole.value.b.c}"]
END
run run steps.toml -q -k
grep -qxF '  ${steps.whole.value.b.c} has no value' err || fail "$(cat err)"
grep -qxF "  \${steps.first.value} has no value; capture = \"text\" in step 'first' keeps what it prints" err || fail "$(cat err)"
grep -qF "  \${steps.frist.value} has no value; no step 'frist' has ended before this one; did you mean 'first'?" err || fail "$(cat err)"

it "a step that is no part of the run has not run, and says so"
given parts.toml <<'END'
[steps.one]
sh = "echo one"
[steps.two]
needs = ["one"]
sh = "echo two"
capture = "json"
[steps.tell]
when = "always"
after = ["one", "two"]
sh = "echo ${steps.one.status} ${steps.two.status}"
[steps.if]
if = "steps.two.status == 'not_run'"
after = ["one"]
sh = "echo not so"
[steps.value]
argv = ["echo", "${steps.two.value}"]
[steps.inner]
argv = ["echo", "${steps.two.value.a.b}"]
END
run run parts.toml -q -j 1 one if
sort -o out out
expect_only 0 out <<'END'
if | not so
one | one
tell | succeeded not_run
END
run run parts.toml -q -k --only value,inner
[ "$status" -eq 1 ] && grep -qxF "  \${steps.two.value} has no value; step 'two' has not run" err || fail "$status $(cat err)"
grep -qxF "  \${steps.two.value.a.b} has no value; step 'two' has not run" err || fail "$status $(cat err)"

it "a resume reads the file with the parameters of its run"
given graph.toml <<'END'
[params]
before = { default = "one" }
[steps.one]
sh = "echo one"
[steps.two]
sh = "echo two"
[steps.end]
needs = ["${params.before}"]
sh = "echo end; test -e fixed"
END
run run graph.toml -q end -p before=two
[ "$status" -eq 1 ] && [ "$(tr '\n' ';' <out)" = "two | two;end | end;" ] || fail "$status $(cat out err)"
touch fixed
run resume -f graph.toml
[ "$status" -eq 0 ] && [ "$(cat out)" = "end | end" ] && grep -q "^two: cached" err && ! grep -q "^one:" err || fail "$status $(cat out err)"

it "in steps that Lua adds"
given l.lua <<'END'
local p = require("perilune.pipeline").new("l", { params = { limit = { default = "50ms" } }, pools = { small = 1 } })
p:step("rows", { matrix = { n = { 1, 2 } }, sh = "echo ${matrix.n}" })
p:step("behind", { matrix = { n = { 1, 2 } }, needs = { "rows[n=${matrix.n}]" }, sh = "echo behind ${matrix.n}" })
p:step("adds", function(ctx) ctx:step("late", { sh = "sleep 5", timeout = "${params.limit}" }) end)
return p
END
run run l.lua -q "behind[n=2]"
expect_only 0 out <<'END'
rows[n=2] | 2
behind[n=2] | behind 2
END
run run l.lua -q adds
[ "$status" -eq 1 ] && grep -q "did not end within 0.05s" err || fail "$status $(cat err)"

it "logs of a step that was taken as it was are those of the run that did it"
given logged.toml <<'END'
[steps.a]
sh = "echo spoken; echo >made"
outputs = ["made"]
END
run run logged.toml -q
run run logged.toml -q
run logs -f logged.toml last a
[ "$status" -eq 0 ] && [ "$(cat out)" = spoken ] && grep -q "^perilune: run .* took it as it was; this is from run " err || fail "$status $(cat out err)"

it "looks at a pipeline whose steps hang on a parameter that was not given"
given blank.toml <<'END'
[params]
target = { required = true }
limit = { required = true }
[pools]
net = 1
[steps.build-a]
sh = "echo built a"
[steps.pack]
needs = ["build-${params.target}"]
after = ["build-a"]
timeout = "${params.limit}"
pool = "${params.limit}"
sh = "echo packed ${params.target}"
END
run check blank.toml
[ "$status" -eq 0 ] && grep -q "2 steps, no problems" out || fail "$status $(cat out err)"
run list -f blank.toml --json
[ "$status" -eq 0 ] && tr -d " \n" <out | grep -qF '"key":"pack","name":"pack","needs":[]' || fail "$status $(cat out err)"
run show -f blank.toml pack
[ "$status" -eq 0 ] && ! grep -q timeout out || fail "$status $(cat out err)"
run run blank.toml
[ "$status" -eq 2 ] && grep -q "parameter 'limit' is required" err || fail "$status $(cat err)"
run check blank.toml -p target=b -p limit=1s
[ "$status" -eq 3 ] && grep -q "needs 'build-b', which does not exist; did you mean 'build-a'" err || fail "$status $(cat err)"

done_testing
