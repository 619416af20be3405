# Steps that run elsewhere: by Slurm's commands and by commands that the pipeline names; jobs that a killed runner leaves.
. "$(dirname "$0")/../support/cli.sh"
. "$support/queue.sh"

it "runs steps of every kind by Slurm's commands"
export TOKEN=verysecret
given p.toml <<'END_OF_FILE'
[pipeline]
executor = "cluster"
[executors.cluster]
kind = "slurm"
partition = "short"
poll = "1s"
args = ["--nice=5"]
[secrets]
token = { env = "TOKEN" }
[pools]
few = 1
[steps.one]
sh = 'echo "it is $T"; echo aside >&2; echo done >one.out'
env = { T = "${secrets.token}" }
outputs = ["one.out"]
[steps.rows]
matrix = { n = [1, 2] }
needs = ["one"]
pool = "few"
argv = ["echo", "row ${matrix.n}"]
[steps.items]
each = { sh = "echo a; echo b" }
argv = ["echo", "item ${item}"]
[steps.value]
argv = ["echo", "it's"]
capture = "text"
[steps.here]
executor = "local"
needs = ["value"]
argv = ["echo", "${steps.value.value}"]
END_OF_FILE
run run -q -f p.toml --output prefix
[ "$status" -eq 0 ] || fail "$status $(cat err)"
sort out >sorted
for line in "here | it's" "items[a] | item a" "items[b] | item b" "one | it is \*\*\*" "rows\[n=1\] | row 1"; do
  cat out err .perilune/runs/*/logs/*.log | grep -q "${line##*| }" || fail "no '$line' in $(cat out err)"
done
[ "$(sent)" -eq 7 ] || fail "$(cat "$SPOOL/sbatch.log")"
grep -q -- "--partition=short" "$SPOOL/sbatch.log" && grep -q -- "--nice=5" "$SPOOL/sbatch.log" || fail "$(cat "$SPOOL/sbatch.log")"
grep -rq verysecret .perilune "$SPOOL" && fail "the secret is in $(grep -rl verysecret .perilune "$SPOOL")"
[ "$(stat -c %a .perilune/jobs)" = 700 ] || fail "others may look into the jobs"
[ -z "$(ls .perilune/jobs)" ] || fail "left: $(ls .perilune/jobs)"
run run -q -f p.toml one
[ "$(sent)" -eq 7 ] || fail "ran again what was up to date"

it "shows where a step runs, and why it runs again elsewhere"
run show -f p.toml one
grep -q '"executor": "cluster"' out || fail "$(cat out)"
sed 's/^executor = "cluster"/executor = "local"/' p.toml >q.toml
run why -f q.toml one
grep -q "the executor changed" out || fail "$(cat out)"

it "tells exit codes, signals, time limits and refused jobs as those of processes"
fresh
given f.toml <<'END_OF_FILE'
[executors.cluster]
kind = "slurm"
poll = "1s"
[executors.wrong]
kind = "slurm"
partition = "nowhere"
[steps.code]
executor = "cluster"
sh = "echo last words; exit 7"
[steps.signal]
executor = "cluster"
sh = 'kill -KILL $$'
[steps.late]
executor = "cluster"
sh = "sleep 50"
timeout = "1s"
[steps.again]
executor = "cluster"
sh = 'echo x >>count; [ "$(wc -l <count)" -eq 2 ]'
retry = { attempts = 2, backoff = "10ms" }
[steps.refused]
executor = "wrong"
sh = "true"
END_OF_FILE
run run -k -f f.toml
[ "$status" -eq 1 ] || fail "$status"
for line in "code: FAILED, exit 7" "| last words" "signal: FAILED, signal KILL" "late: TIMED OUT" "again: done" "invalid partition"; do
  grep -q "$line" err || fail "no '$line' in $(cat err)"
done

it "falls back to the columns of squeue"
fresh
touch "$SPOOL/no_json"
given slow.toml <<'END_OF_FILE'
[pipeline]
executor = "cluster"
[executors.cluster]
kind = "slurm"
poll = "1s"
[steps.slow]
sh = "echo x >>count; sleep 2; echo printed"
effect = true
END_OF_FILE
run run -f slow.toml
[ "$status" -eq 0 ] && grep -q -- "--format" "$SPOOL/squeue.log" || fail "$status $(cat err "$SPOOL/squeue.log")"
rm "$SPOOL/no_json"

# kill_runner CONDITION...: a run that is killed when the condition holds.
kill_runner() {
  "$PERILUNE" run -q -f slow.toml >out 2>err &
  pid=$!
  until_true "$@"
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null
}

it "takes up the job of a runner that was killed"
fresh
kill_runner test -e count
run resume -f slow.toml
[ "$status" -eq 0 ] || fail "$status $(cat err)"
[ "$(sent)" -eq 1 ] && [ "$(wc -l <count)" -eq 1 ] || fail "twice: $(cat "$SPOOL/sbatch.log")"
grep -q printed .perilune/runs/*/logs/slow.log || fail "lost its output"

it "takes the result of a job that ended meanwhile"
fresh
kill_runner test -e count
one_is_done() { ls "$SPOOL"/*.done >/dev/null 2>&1; }
until_true one_is_done
run resume -f slow.toml
[ "$status" -eq 0 ] && [ "$(sent)" -eq 1 ] || fail "$status $(sent) $(cat err)"

it "finds the job by its comment where the runner never heard its id"
fresh
touch "$SPOOL/slow" "$SPOOL/hold"
sent_one() { [ "$(ls "$SPOOL"/*.new 2>/dev/null | wc -l)" -eq 1 ]; }
kill_runner sent_one
rm -f "$SPOOL/slow" "$SPOOL/hold"
run resume -f slow.toml
[ "$status" -eq 0 ] && [ "$(sent)" -eq 1 ] || fail "$status $(sent) $(cat err)"

it "ends the jobs of a run that is interrupted with one command"
fresh
given c.toml <<'END_OF_FILE'
[pipeline]
executor = "cluster"
[executors.cluster]
kind = "slurm"
[steps.wait]
matrix = { n = [1, 2, 3] }
sh = "touch begun${matrix.n}; sleep 50"
END_OF_FILE
"$PERILUNE" run -q -j 1 -f c.toml >out 2>err &
pid=$!
until_true test -e begun1 -a -e begun2 -a -e begun3
kill -INT "$pid"
wait "$pid"
[ $? -eq 130 ] || fail "$(cat err)"
[ "$(wc -l <"$SPOOL/scancel.log")" -eq 1 ] || fail "$(cat "$SPOOL/scancel.log")"
none_runs() { ! ls "$SPOOL"/*.run >/dev/null 2>&1; }
until_true none_runs

it "says that an executor is unreachable"
fresh
touch "$SPOOL/down"
run run -f slow.toml
[ "$status" -eq 69 ] || fail "$status $(cat err)"
[ "$(grep -c "executor 'cluster' is unreachable: sbatch: .*connect failure" err)" -eq 1 ] || fail "$(cat err)"
rm "$SPOOL/down"
run resume -f slow.toml --yes
[ "$status" -eq 0 ] || fail "resumed: $status $(cat err)"

it "goes on with the job of a queue that became unreachable"
fresh
sed 's/sleep 2/i=0; until [ -e go ] || [ $i -ge 300 ]; do i=$((i + 1)); sleep 0.2; done/' slow.toml >longer.toml
"$PERILUNE" run -q -f longer.toml >out 2>err &
pid=$!
kill_when_late "$pid"
until_true test -e count
touch "$SPOOL/down"
wait "$pid"
[ $? -eq 69 ] || fail "$(cat err)"
rm "$SPOOL/down"
touch go
run resume -f longer.toml
[ "$status" -eq 0 ] && [ "$(sent)" -eq 1 ] && [ "$(wc -l <count)" -eq 1 ] || fail "$status $(sent) $(cat err)"

it "speaks to any queue by the commands it is given"
fresh
given t.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sbatch", "--comment=${job.name}", "${job.script}"]
status = ["squeue"]
cancel = ["scancel", "${job.ids}"]
collect = ["sh", "-c", "echo ${job.id} >>collected"]
poll = "1s"
[steps.a]
executor = "box"
sh = "echo by template; sleep 2"
[steps.b]
executor = "box"
argv = ["false"]
fail = "collect"
END_OF_FILE
run run -k -f t.toml
[ "$status" -eq 1 ] && grep -q "b: FAILED, exit 1" err && grep -q "by template" out || fail "$status $(cat out err)"
[ "$(wc -l <collected)" -eq 2 ] || fail "collected: $(cat collected)"
sed 's/"sbatch"/"no-such-program"/' t.toml >n.toml
run run -f n.toml a
[ "$status" -eq 69 ] && grep -q "executor 'box' is unreachable: .*no-such-program" err || fail "$status $(cat err)"

it "goes on with a job that the queue took although it said that it failed"
fresh
given late.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sh", "-c", "sbatch --comment=${job.name} ${job.script} >/dev/null; echo timed out >&2; exit 1"]
status = ["sh", "-c", "squeue | tr '|' ' '"]
poll = "1s"
[steps.once]
executor = "box"
effect = true
sh = "echo x >>count; sleep 1"
END_OF_FILE
run run -f late.toml
[ "$status" -eq 0 ] && [ "$(wc -l <count)" -eq 1 ] && [ "$(sent)" -eq 1 ] || fail "$status $(sent) $(cat err)"

it "many jobs begin at once in a project that has had none"
given wide.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sh", "-c", "setsid sh ${job.script} >/dev/null 2>&1 & echo $!"]
[steps.row]
executor = "box"
matrix = { n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
sh = "true"
END_OF_FILE
for round in 1 2 3; do
  rm -rf .perilune
  run run -f wide.toml
  [ "$status" -eq 0 ] || fail "round $round: $(cat err)"
done

done_testing
