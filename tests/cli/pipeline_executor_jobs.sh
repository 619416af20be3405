# Jobs of executors whatever becomes of them: those that are to end, queues that do not answer or do not do as they are told, what is
# left behind.
. "$(dirname "$0")/../support/cli.sh"
. "$support/queue.sh"

it "kills after the grace what a cancel does not end"
fresh
box 'status = ["ps", "-eo", "pid="]' 'cancel = ["kill", "${job.ids}"]' 'kill = ["sh", "-c", "echo ${job.ids} >>ended; kill -s KILL -- -${job.ids}"]' \
  '[steps.a]' 'executor = "box"' 'timeout = "1s"' 'grace = "500ms"' "sh = '''trap \"\" TERM; $minute'''" >stubborn.toml
run run -f stubborn.toml
[ "$status" -eq 1 ] && grep -q "a: TIMED OUT" err && [ "$(wc -l <ended)" -eq 1 ] || fail "$status $(cat err)"

it "tells once of a cancel that fails, and gives it again"
fresh
box 'cancel = ["sh", "-c", "echo cancel >>told; [ $(wc -l <told) -ge 3 ] || { echo no such daemon >&2; exit 1; }; kill ${job.ids}"]' \
  '[steps.a]' 'executor = "box"' 'timeout = "1s"' 'grace = "50s"' "sh = '''$minute'''" >deaf.toml
run run -f deaf.toml
[ "$status" -eq 1 ] && grep -q "a: TIMED OUT" err && [ "$(wc -l <told)" -eq 3 ] || fail "$status $(cat err)"
[ "$(grep -c "executor 'box': .*no such daemon" err)" -eq 1 ] || fail "$(cat err)"

it "takes for late what succeeds after its time"
fresh
box 'cancel = ["touch", "told"]' '[steps.a]' 'executor = "box"' 'timeout = "500ms"' 'grace = "50s"' \
  'sh = "i=0; until [ -e told ] || [ $i -ge 300 ]; do i=$((i + 1)); sleep 0.2; done"' >late_end.toml
run run -f late_end.toml
[ "$status" -eq 1 ] && grep -q "a: TIMED OUT" err || fail "$status $(cat err)"

it "waits for no job that has not begun and of which its queue tells nothing"
fresh
given pending.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sh", "-c", "touch asked; echo 77"]
cancel = ["true"]
[steps.a]
executor = "box"
sh = "touch told"
END_OF_FILE
start run -f pending.toml --grace 90s
until_true test -e asked
send INT
finish
[ "$status" -eq 130 ] || fail "$status $(cat err)"
[ ! -e .perilune/jobs/*/*/command ] || fail "keeps the environment of what will not run"
sh .perilune/jobs/*/*/submit.sh
[ $? -eq 143 ] && [ ! -e told ] || fail "what was cancelled ran all the same"

it "reads, limits and ends jobs while the queue does not answer"
fresh
box 'status = ["sh", "-c", "touch asked; sleep 300"]' 'cancel = ["kill", "${job.ids}"]' 'kill = ["kill", "-s", "KILL", "--", "-${job.ids}"]' \
  '[steps.a]' 'executor = "box"' "sh = '''i=0; until [ -e go ] || [ \$i -ge 300 ]; do i=\$((i + 1)); sleep 0.2; done; trap \"\" TERM; echo heard; $minute'''" >silent.toml
start run -f silent.toml --output prefix --grace 90s
until_true test -e asked
touch go
await "a | heard"
send INT
until_true grep -q "SIGINT: stopping" err
send INT
finish
[ "$status" -eq 130 ] || fail "$status $(cat err)"

it "waits for no submission that does not come back: not after the grace, not after a second signal"
fresh
for signals in "INT" "INT INT"; do
  rm -f asked
  box '[steps.a]' 'executor = "box"' 'sh = "touch told"' | sed 's/^submit.*/submit = ["sh", "-c", "touch asked; sleep 300"]/' >unanswered.toml
  grace=1s
  [ "$signals" = INT ] || grace=90s
  start run -f unanswered.toml --grace "$grace"
  until_true test -e asked
  for signal in $signals; do
    send "$signal"
    until_true grep -q "SIGINT: stopping" err
  done
  finish
  [ "$status" -eq 130 ] || fail "$signals: $status $(cat err)"
done
for script in .perilune/jobs/*/*/submit.sh; do sh "$script"; done
[ ! -e told ] || fail "what was cancelled ran all the same"

it "says that a job may still run"
fresh
box 'cancel = ["false"]' '[steps.a]' 'executor = "box"' 'timeout = "1s"' 'grace = "1s"' "sh = '''$minute'''" >alive.toml
run run -f alive.toml
[ "$status" -eq 1 ] && grep -q "executor 'box': job [0-9]* did not end, and may still run" err || fail "$status $(cat err)"

it "takes no command of its queue for what a step has left"
fresh
given lazy.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sbatch", "--comment=${job.name}", "${job.script}"]
status = ["sh", "-c", "touch asked; exec sleep 300"]
[steps.a]
executor = "box"
sh = 'i=0; until [ -e asked ] || [ $i -ge 300 ]; do i=$((i + 1)); sleep 0.2; done'
END_OF_FILE
run run -f lazy.toml
[ "$status" -eq 0 ] && ! grep -q "left" err || fail "$status $(cat err)"

it "shows unfinished lines before their job has ended"
fresh
box '[steps.a]' 'executor = "box"' "sh = '''printf \"how far? \"; i=0; until [ -e go ] || [ \$i -ge 300 ]; do i=\$((i + 1)); sleep 0.2; done; echo done'''" >partial.toml
"$PERILUNE" run -f partial.toml --output prefix >out 2>err &
pid=$!
kill_when_late "$pid"
until_true grep -q "how far?" out
touch go
wait "$pid" && grep -q "a | how far? done" out || fail "$(cat out err)"

it "ends what a command leaves in its group, and passes a signal on to all of it, be the job the leader of a group or not"
given group.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sh", "-c", "echo ${job.script} >script; echo 77"]
[steps.left]
executor = "box"
sh = 'sh -c "echo \$\$ >of_left; exec sleep 50" & until [ -s of_left ]; do sleep 0.02; done'
[steps.signalled]
executor = "box"
sh = 'sh -c "echo \$\$ >of_signalled; exec sleep 50"; true'
END_OF_FILE
is_gone() { ! kill -0 "$(cat "of_$step")" 2>/dev/null; }
for leader in "" setsid; do
  for step in left signalled; do
    fresh
    rm -f script of_left of_signalled
    "$PERILUNE" run -f group.toml "$step" >out 2>err &
    pid=$!
    kill_when_late "$pid"
    until_true test -s script
    $leader sh "$(cat script)" &
    job=$!
    until_true test -s "of_$step"
    [ "$step" = left ] || kill "$job"
    wait "$pid"
    [ $? -eq 0 ] && [ "$step" = left ] || grep -q "signalled: FAILED, signal TERM" err || fail "$leader $step: $(cat err)"
    until_true is_gone
    { wait "$job"; } 2>/dev/null
  done
done

it "hears the id of a job that has begun from its queue, and ends it before another is sent"
fresh
rm -f second
given unheard.toml <<'END_OF_FILE'
[executors.box]
kind = "command"
submit = ["sh", "-c", "sub ${job.script} >/dev/null; [ -e second ] || sleep 30; tail -n 1 $SPOOL/sub.pids"]
status = ["sh", "-c", "for one in $(cat $SPOOL/sub.pids); do kill -0 $one && echo $one $(tr '\\0' '\\n' </proc/$one/cmdline | sed -n 's,.*/\\([^/]*\\)/submit.sh$,\\1,p'); done 2>/dev/null; true"]
cancel = ["kill", "${job.ids}"]
kill = ["sh", "-c", "echo kill ${job.ids} >>ended; kill -s KILL -- -${job.ids}"]
[steps.a]
executor = "box"
effect = true
sh = "echo x >>count; i=0; while [ $i -lt ${params.turns} ]; do i=$((i + 1)); sleep 0.2; done"
[params]
turns = { type = "integer", default = 300 }
END_OF_FILE
"$PERILUNE" run -q -f unheard.toml >out 2>err &
pid=$!
until_true test -e count
kill -KILL "$pid"
wait "$pid" 2>/dev/null
touch second
run run -q -f unheard.toml -p turns=1 --yes
[ "$status" -eq 0 ] && [ "$(wc -l <count)" -eq 2 ] && grep -q kill ended || fail "$status $(cat err)"
[ -z "$(ls .perilune/jobs)" ] || fail "left: $(ls .perilune/jobs/*)"

it "removes nothing under a job that may still run"
fresh
rm -f second
sed "s/^status = .*/status = ['ps', '-eo', 'pid=']/" unheard.toml >nameless.toml
"$PERILUNE" run -q -f nameless.toml >out 2>err &
pid=$!
until_true test -e count
kill -KILL "$pid"
wait "$pid" 2>/dev/null
touch second
run run -f nameless.toml -p turns=1 --yes --grace 1s
[ "$status" -eq 1 ] && [ "$(wc -l <count)" -eq 1 ] || fail "$status $(cat err)"
grep -q "a: .*may still run and did not end; see to it, then remove .*\.perilune/jobs/" err || fail "$(cat err)"
[ -e .perilune/jobs/*/*/submit.sh ] || fail "removed what is in use"

it "keeps the environment of a command no longer than it is needed"
export TOKEN=verysecret
fresh
box '[secrets]' 't = { env = "TOKEN" }' '[steps.one]' 'executor = "box"' 'env = { T = "${secrets.t}" }' 'outputs = ["one.out"]' \
  'sh = "touch begun; i=0; until [ -e told ] || [ $i -ge 300 ]; do i=$((i + 1)); sleep 0.2; done; echo d >one.out"' '[steps.two]' 'needs = ["one"]' 'sh = "touch two; [ -e go ] || sleep 20"' >short.toml
rm -f begun one.out two
"$PERILUNE" run -q -f short.toml >out 2>err &
pid=$!
until_true test -e begun
grep -rq verysecret .perilune && fail "the secret is in $(grep -rl verysecret .perilune) while its job runs"
touch told
until_true test -e two
grep -rq verysecret .perilune && fail "the secret is still in $(grep -rl verysecret .perilune)"
[ -z "$(find .perilune/jobs -type f -perm /077 -not -name result)" ] || fail "others may read $(find .perilune/jobs -type f -perm /077)"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
touch go
run run -q -f short.toml
[ "$status" -eq 0 ] && [ -z "$(ls .perilune/jobs)" ] || fail "$status left: $(ls .perilune/jobs)"

done_testing
