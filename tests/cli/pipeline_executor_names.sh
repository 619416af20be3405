# How steps name executors, in TOML and in Lua, what executors may name, and what is refused and where; the graph shows them.
. "$(dirname "$0")/../support/cli.sh"
. "$support/queue.sh"

it "is named by pipelines in Lua too: for all commands, or for one"
fresh
given lua.lua <<'END_OF_FILE'
local pipeline = require "perilune.pipeline"
local p = pipeline.new("lua", {
  executors = { box = { kind = "command", submit = { "sh", "-c", "echo ${job.name} >>sent; exec sub ${job.script}" }, jobs = 2, poll = 1 } },
  executor = "box",
})
p:step("known", { argv = { "echo", "before" } })
p:step("rows", { sh = "echo row $N", env = { N = "${matrix.n}" }, matrix = { n = { 1, 2 } } })
p:main(function(ctx)
  local there = ctx:step("there", { sh = "echo from there", capture = "text" }).value
  local here = ctx:step("here", { sh = "echo here after " .. there, executor = "local", capture = "text" }).value
  ctx:map("each", { "x", "y" }, function(item) return { argv = { "echo", item } } end)
  ctx:step("function", function() print(here) end)
end)
p:finally("last", function(_, run) return { argv = { "echo", "ended", run.status } } end)
return p
END_OF_FILE
run run -f lua.lua --output prefix
[ "$status" -eq 0 ] || fail "$status $(cat out err)"
for line in "known | before" "rows\[n=2\] | row 2" "function | here after from there" "each\[y\] | y" "last | ended success"; do
  grep -q "^$line" out || fail "no '$line' in $(cat out)"
done
[ "$(wc -l <sent)" -eq 7 ] || fail "sent: $(cat sent)"
sed 's/^  executor = "box",$//; s/executor = "local"/executor = "box"/' lua.lua >one.lua
rm sent
run run -f one.lua
[ "$status" -eq 0 ] && [ "$(wc -l <sent)" -eq 1 ] || fail "$status $(cat sent err)"

it "refuses at its line what a pipeline in Lua says wrong of executors"
refused() {
  printf '%s\n' 'local pipeline = require "perilune.pipeline"' "$2" >wrong.lua
  run "$3" -f wrong.lua
  [ "$status" -eq "$4" ] && grep -qF "$1" err || fail "$status $(cat err), expected $1"
}
box_of='executors = { box = { kind = "command", submit = { "sub", "${job.script}" } } }'
refused "wrong.lua:2: executor: a Lua function runs here, only commands elsewhere" \
  "local p = pipeline.new('x', { $box_of }) p:step('a', { fn = print, executor = 'box' }) return p" check 3
refused "wrong.lua:2: executor: there is no executor 'bax'; did you mean 'box'?" \
  "local p = pipeline.new('x', { $box_of }) p:step('a', { sh = 'true', executor = 'bax' }) return p" check 3
refused "wrong.lua:2: bad argument #2 to 'new' (executors.local: 'local' is this machine; it needs another name)" \
  "local p = pipeline.new('x', { executors = { ['local'] = { kind = 'slurm' } } }) return p" check 3
refused "wrong.lua:2: bad argument #2 to 'new' (executors.1: an executor's name begins with a letter, and has letters, digits and _-.)" \
  "local p = pipeline.new('x', { executors = { { kind = 'slurm' } } }) return p" check 3
refused "wrong.lua:2: bad argument #2 to 'new' (executors.box.submit: there is no job.nam; did you mean 'name'?)" \
  "local p = pipeline.new('x', { executors = { box = { kind = 'command', submit = { 'sub', '\${job.nam}' } } } }) return p" check 3
refused "wrong.lua:2: executor: a Lua function runs here, only commands elsewhere" \
  "local p = pipeline.new('x', { $box_of }) p:main(function(ctx) ctx:step('a', { fn = print, executor = 'box' }) end) return p" run 1

it "is named by a parameter or by a row of a matrix"
given named.toml <<'END_OF_FILE'
[pipeline]
executor = "${params.whole}"
[params]
whole = { default = "local" }
where = { required = true }
[executors.box]
kind = "command"
submit = ["sub", "${job.script}"]
[steps.a]
executor = "${params.where}"
sh = "true"
[steps.b]
sh = "true"
[steps.c]
matrix = { on = ["local", "box"] }
executor = "${matrix.on}"
sh = "true"
END_OF_FILE
on_box() {
  run graph -f named.toml --format json "$@"
  [ "$status" -eq 0 ] || fail "$status $(cat err)"
  python3 -c 'import json; print(*[s["key"] for s in json.load(open("out"))["steps"] if s.get("executor") == "box"])'
}
same_words() { [ "$1" = "$2" ] || fail "expected $1, got $2"; }
same_words "c[on=box]" "$(on_box)"
same_words "a c[on=box]" "$(on_box -p where=box)"
same_words "b c[on=box]" "$(on_box -p where=local -p whole=box)"
run run -f named.toml -p where=bix
[ "$status" -eq 3 ] && grep -qF "named.toml:10:1: steps.a: executor: there is no executor 'bix'; did you mean 'box'?" err || fail "$status $(cat err)"
run run -f named.toml -p where=box -p whole=bix
[ "$status" -eq 3 ] && grep -qF "named.toml:2:1: pipeline.executor: there is no executor 'bix'; did you mean 'box'?" err || fail "$status $(cat err)"

it "runs its commands in the pipeline's folder, with the values of parameters"
fresh
mkdir -p deep
given deep/tool <<'END_OF_FILE'
#!/bin/sh
echo "$1 in ${PWD##*/}" >>"$SPOOL/tool.log"
exec sub "$2"
END_OF_FILE
chmod +x deep/tool
given deep/p.toml <<'END_OF_FILE'
[params]
queue = { default = "short" }
pause = { default = "1s" }
[executors.box]
kind = "command"
submit = ["./tool", "queue ${params.queue} of ${run.id}", "${job.script}"]
poll = "${params.pause}"
[executors.cluster]
kind = "slurm"
partition = "${params.queue}"
args = ["--nice=${params.queue}"]
[steps.a]
executor = "box"
sh = "pwd"
[steps.b]
executor = "cluster"
sh = "true"
END_OF_FILE
run run -q -f deep/p.toml -p queue=long
[ "$status" -eq 0 ] && grep -q "^queue long of [^ ]* in deep$" "$SPOOL/tool.log" || fail "$status $(cat err "$SPOOL/tool.log")"
grep -q -- "--partition=long.* --nice=long " "$SPOOL/sbatch.log" || fail "$(cat "$SPOOL/sbatch.log")"

it "shows in the graph where steps run"
run graph -f deep/p.toml
grep -qF '"a" [label="a\n@ box"];' out || fail "$(cat out)"
run graph -f deep/p.toml --format json
grep -q '"executor": "cluster"' out || fail "$(cat out)"
run graph -f deep/p.toml --format mermaid
grep -qF 's1["a<br>@ box"]' out || fail "$(cat out)"
run graph -f deep/p.toml --format html
grep -q '<text class="second"[^>]*>@ cluster</text>' out || fail "$(cat out)"
run graph -f deep/p.toml --run last --format json
grep -q '"executor": "box"' out || fail "$(cat out)"
run report -f deep/p.toml last --format html
grep -q 'ran on cluster' out || fail "$(cat out)"

it "refuses what it does not know at its place"
given bad.toml <<'END_OF_FILE'
[executors.cluster]
kind = "slurm"
submit = ["x"]
args = ["--comment=${job.name}"]
[executors.box]
kind = "command"
submit = ["sub", "${params.queu}", "${job.scrip}", "${HOME}", "${item}"]
cancel = ["kill", "${job.id}"]
poll = "${matrix.n}"
[executors.local]
kind = "slurm"
[executors.7]
kind = "slurm"
[params]
queue = { default = "x" }
[steps.a]
executor = "clustr"
sh = "true"
END_OF_FILE
run check bad.toml
cat >expected <<'END_OF_FILE'
bad.toml:3:1: executors.cluster.submit: not for an executor of kind slurm
bad.toml:4:1: executors.cluster.args: there is no job.name
bad.toml:7:1: executors.box.submit: there is no item
bad.toml:7:1: executors.box.submit: there is no job.scrip; did you mean 'script'?
bad.toml:7:1: executors.box.submit: there is no params.queu; did you mean 'queue'?
bad.toml:8:1: executors.box.cancel: there is no job.id; did you mean 'ids'?
bad.toml:9:1: executors.box.poll: there is no matrix.n
bad.toml:10:12: executors.local: 'local' is this machine; it needs another name
bad.toml:12:12: executors.7: an executor's name begins with a letter, and has letters, digits and _-.
bad.toml:17:1: steps.a.executor: there is no executor 'clustr'; did you mean 'cluster'?
END_OF_FILE
[ "$status" -eq 3 ] || fail "$status"
sed 's/^perilune: //' err >told
same expected told "what is wrong"
for line in 'lua = "x.lua:f"' 'interactive = true
sh = "true"' 'needs = []'; do
  printf '%s\n' '[executors.box]' 'kind = "slurm"' '[steps.a]' 'executor = "box"' "$line" >stays.toml
  run check stays.toml
  [ "$status" -eq 3 ] || fail "$status for $line"
  cat err
done >told
cat >expected <<'END_OF_FILE'
perilune: stays.toml:4:1: steps.a: executor: a Lua function runs here, only commands elsewhere
perilune: stays.toml:4:1: steps.a: executor: what has the terminal runs here
perilune: stays.toml:4:1: steps.a: executor: there is no command to be run elsewhere
END_OF_FILE
same expected told "what cannot run elsewhere"

done_testing
