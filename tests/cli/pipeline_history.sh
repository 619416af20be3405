# `perilune history` and `perilune logs`: what has run, and what it printed.
. "$(dirname "$0")/../support/cli.sh"

command -v python3 >/dev/null || exit 77

given p.toml <<'END'
[steps.good]
sh = "echo one; echo two; printf three"
[steps.bad]
sh = "echo worse; exit 1"
END

it "says so when nothing has run"
run history -f p.toml
expect 0 out <<'END'
nothing has run here yet
END
run history -f p.toml --json
expect 0 out <<'END'
[]
END

it "a table, newest first"
run run p.toml -q good
run run p.toml -q -k good bad
run history -f p.toml
[ "$status" -eq 0 ] || fail "status $status"
sed -E 's/[0-9]{8}T[0-9]{6}(-[0-9]+)?/RUN/; s/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/DATE/; s/ [0-9.]+m?s / T /; s/ +/ /g' out >table
cat >expected <<'END'
RUN STARTED STATUS TIME STEPS WHAT
RUN DATE failure T 1 succeeded, 1 failed p.toml good bad
RUN DATE success T 1 succeeded p.toml good
END
same expected table "table"

it "JSON"
run history -f p.toml --json
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import json
newest, oldest = json.load(open("out"))
assert newest["request"] == {"args": [], "hidden": [], "param": [], "targets": ["good", "bad"]}, newest["request"]
assert newest["status"] == "failure" and newest["counts"] == {"succeeded": 1, "failed": 1} and newest["targets"] == ["good", "bad"]
assert oldest["status"] == "success" and oldest["duration"] >= 0 and oldest["started"] <= newest["started"]
END

it "logs of a step, byte for byte, and of all steps under their keys"
run logs last good -f p.toml
printf 'one\ntwo\nthree' >expected
same expected out "log"
run logs last bad -f p.toml
expect 0 out <<'END'
worse
END
run logs -f p.toml
grep -q '^== good$' out && grep -q '^== bad$' out || fail "$(cat out)"

it "what prints nothing needs no log; a failure has one all the same"
given silent.toml <<'END'
[steps.good]
argv = ["true"]
[steps.bad]
argv = ["false"]
[steps.later]
sh = "test -e tried && exit 0; touch tried; echo again; exit 1"
retry = { attempts = 2, backoff = "10ms" }
END
run run silent.toml -q -k
[ "$status" -eq 1 ] && grep -q '  log: .*/logs/bad.log$' err || fail "status $status: $(cat err)"
(cd .perilune/runs && cd "$(ls -t | head -1)" && ls logs) >seen
printf 'bad.log\nlater.log\n' >expected
same expected seen "logs"
for step in good bad; do
  run logs last $step -f silent.toml
  [ "$status" -eq 0 ] && [ ! -s out ] || fail "$step: status $status: $(cat out err)"
done
run report last -f silent.toml
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import json
steps = {step["key"]: step for step in json.load(open("out"))["steps"]}
assert "log" not in steps["good"] and steps["bad"]["log"].endswith("bad.log") and steps["later"]["log"].endswith("later.log")
END

it "refuses a run or a step that is not there"
run logs yesterday -f p.toml
[ "$status" -eq 2 ] || fail "status $status"
run logs last god -f p.toml
[ "$status" -eq 2 ] && grep -q "has no log of a step 'god'; did you mean 'good'?$" err || fail "$(cat err)"

it "logs of a matrix and of a fan-out are those of its rows and items"
given many.toml <<'END'
[steps.build]
matrix = { arch = ["x", "y"] }
sh = "echo built ${matrix.arch}"
[steps.test]
needs = ["build"]
each = ["1", "2"]
limit = 1
sh = "echo tested ${item}"
[steps.tests]
sh = "echo other"
END
run run -q -j 1 many.toml
run logs last build -f many.toml
expect 0 out <<'END'
== build[arch=x]
built x
== build[arch=y]
built y
END
run logs last test -f many.toml
expect 0 out <<'END'
== test[1]
tested 1
== test[2]
tested 2
END

it "logs -f: goes on until the run is over"
given perilune.toml <<'END'
[steps.slow]
sh = "echo begun; until test -e go; do sleep 0.02; done; echo ended"
END
start run -q
await "slow | begun"
bounded logs last slow -f >followed 2>&1 &
follower=$!
tries=0
until grep -q begun followed || [ $tries -gt 500 ]; do tries=$((tries + 1)); sleep 0.02; done
grep -q begun followed && ! grep -q ended followed || fail "$(cat followed)"
touch go
wait $follower || fail "status $?"
finish
printf 'begun\nended\n' >expected
same expected followed "followed"

it "logs -f: ends with a run that was killed"
rm go
start run -q
await "slow | begun"
step=$(pgrep -P "$pid")
kill -s KILL "$pid"
finish
kill -s KILL -- -"$step" 2>nothing
run logs last -f
expect 0 out <<'END'
== slow
begun
END
run history
grep -q ' interrupted ' out || fail "$(cat out)"

it "a run that was killed lasted until the end of its last step, as far as anybody knows"
given killed.toml <<'END'
[steps.quick]
sh = "true"
[steps.slow]
needs = ["quick"]
sh = "echo begun; test -e go || sleep 60"
END
start run -q killed.toml
await "slow | begun"
tries=0
until run history -f killed.toml --json; grep -q '"succeeded": 1' out || [ $((tries += 1)) -gt 500 ]; do sleep 0.02; done
date +%s.%N >before
step=$(pgrep -P "$pid")
send KILL
finish
kill -s KILL -- -"$step" 2>nothing
touch go
run run -q killed.toml
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
run history -f killed.toml --json
python3 - <<'END' >seen 2>&1 || fail "$(cat seen out)"
import json
killed = json.load(open("out"))[1]
assert killed["status"] == "interrupted" and killed["started"] <= killed["ended"] < float(open("before").read())
assert abs(killed["ended"] - killed["started"] - killed["duration"]) < 1e-6
END

done_testing
