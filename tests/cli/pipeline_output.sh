# What a person reads of a pipeline where there is no terminal: whole lines with the keys of their steps, the failures with the
# root cause last, the summary; colors and events for programs on demand.
. "$(dirname "$0")/../support/cli.sh"

command -v python3 >/dev/null || exit 77
unset NO_COLOR CLICOLOR_FORCE GITHUB_ACTIONS GITLAB_CI
LC_ALL=C
export LC_ALL

# Times, and the order that they give, are no part of what is compared.
plainly() {
  sed -E -i 's/[0-9]+\.[0-9]+s|[0-9]+m[0-9]+s|[0-9]+ms/T/g; s/[0-9]{8}T[0-9]{6}(-[0-9]+)?/RUN/g; s#(log: ).*/\.perilune#\1.perilune#
    s/^slowest: .*/slowest: some/' "$@"
}

given p.toml <<'END'
[steps.a]
sh = "echo one; echo two >&2"
[steps.b]
needs = ["a"]
sh = """
echo almost
exit 3
"""
[steps.c]
needs = ["b"]
argv = ["echo", "never"]
[steps.d]
needs = ["c"]
argv = ["echo", "never"]
END

it "tells lines with their keys on the stream they came from, the failure, what followed from it, and the summary"
run run p.toml
plainly err
expect_only 1 out <<'END'
a | one
b | almost
END
expect_only 1 err <<'END'
a: echo one; echo two >&2
a | two
a: done, T
b: echo almost ...
b: FAILED, exit 3, T

failed: b  (p.toml:3:8)
  command: echo almost
           exit 3
  exit 3, attempt 1/1
  | almost
  log: .perilune/runs/RUN/logs/b.log
2 more not run because of that: c, d
resume: perilune resume -f p.toml RUN
failure: 1 succeeded, 1 failed, 2 blocked in T, cpu T
critical path: a T -> b T
slowest: some
END

it "tells the root cause last, and the last 40 lines of each failure"
given two.toml <<'END'
[steps.first]
sh = "seq 100; exit 1"
[steps.second]
after = ["first"]
when = "always"
sh = "kill -9 $$"
END
run run two.toml -q
grep '^failed:' err >failed
printf 'failed: second  (two.toml:3:8)\nfailed: first  (two.toml:1:8)\n' >expected
same expected failed "failures"
grep '^  |' err >tail
seq 61 100 | sed 's/^/  | /' >expected
same expected tail "tail"
grep -q '^  signal KILL, attempt 1/1$' err || fail "$(cat err)"

it "shows a line that is not ended after a moment, ends it where another step speaks, and lets what begins with :: alone"
given together.toml <<'END'
[steps.a]
sh = "printf 'one '; sleep 0.5; echo two; echo ::notice::three; printf end"
[steps.b]
sh = "sleep 0.3; printf other"
END
run run together.toml -q
grep -q '^a | one $' out && grep -q '^a | two$' out && grep -q '^b | other$' out || fail "$(cat out)"
grep -q '^::notice::three$' out || fail "$(cat out)"
grep -q '^a | end$' out || fail "$(cat out)"
[ "$(tail -c 1 out)" = "" ] || fail "the last line does not end"

it "tells no beginnings and ends with -q, reasons with -v"
run run p.toml -q a
expect_only 0 out <<'END'
a | one
END
expect_only 0 err <<'END'
a | two
END
run run p.toml -v a
grep -q '^a: echo one; echo two >&2 \[it has no outputs\]$' err || fail "$(cat err)"

it "colors when it is told to: --color beats NO_COLOR beats CLICOLOR_FORCE"
has_codes() { grep -q "$(printf '\033')" out err; }
run run p.toml a
! has_codes || fail "codes in a file"
CLICOLOR_FORCE=1 run run p.toml a
has_codes || fail "CLICOLOR_FORCE"
NO_COLOR=1 CLICOLOR_FORCE=1 run run p.toml a
! has_codes || fail "NO_COLOR"
NO_COLOR=1 run run p.toml a --color always
has_codes || fail "--color always"
CLICOLOR_FORCE=1 run run p.toml a --color never
! has_codes || fail "--color never"

it "refuses words that flags do not know"
run run p.toml --output grup
expect 2 err <<'END'
perilune: --output: one of auto, live, prefix, group, keep-order, quiet, json expected, got 'grup'; did you mean 'group'?
END
run run p.toml --color blue
[ "$status" -eq 2 ] || fail "status $status"

it "--output json: every event a line, whatever bytes a step prints"
given bytes.toml <<'END'
[steps.a]
sh = "printf 'x\\377y\\n'; exit 2"
END
run run bytes.toml --output json
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import json
events = [json.loads(line) for line in open("out", encoding="utf-8")]
print([e["event"] for e in events])
assert [e["event"] for e in events] == ["run_started", "step_started", "line", "step_finished", "run_finished"]
assert events[2]["text"] == "x\ufffdy" and events[2]["stream"] == "stdout"
assert events[3]["code"] == 2 and events[3]["needs"] == [] and events[3]["tail"] == ["x\ufffdy"]
assert events[4]["status"] == "failure" and events[4]["first_failure"] == "a"
assert all(a["at"] <= b["at"] for a, b in zip(events, events[1:]))
END
: >nothing
same nothing err "standard error"
[ "$status" -eq 1 ] || fail "status $status"

it "keeps a record of the run"
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import glob, json
data = json.load(open(sorted(glob.glob(".perilune/runs/*/report.json"), key=__import__("os").path.getmtime)[-1]))
step, = data["steps"]
assert data["status"] == "failure" and step["state"] == "failed" and step["attempts"][0]["ended"] <= data["duration"] + 1
END

it "what Lua steps print are lines of theirs, of tasks that they spawn too, and in their logs"
given lua_steps.lua <<'END'
local peri = require "perilune"
function speak()
  print("one", 2, nil)
  io.write("thr", "ee\nfour")
  peri.spawn(function() print("!") end):join()
end
function fail()
  io.write("no newline")
  error("broken")
end
END
given lua_steps.toml <<'END'
[steps.a]
lua = "lua_steps.lua:speak"
[steps.b]
needs = ["a"]
lua = "lua_steps.lua:fail"
END
run run lua_steps.toml -q
expect_only 1 out <<'END'
a | one	2	nil
a | three
a | four!
b | no newline
END
grep -q '^  lua_steps.lua:9: broken, attempt 1/1$' err && grep -q '^  | no newline$' err || fail "$(cat err)"
run logs last a -f lua_steps.toml
expect 0 out <<'END'
one	2	nil
three
four!
END

it "--log-level and --log-format govern the records of Lua steps"
given records.lua <<'END'
local peri = require "perilune"
function go() peri.log.debug("detail") peri.log.warn("careful") end
END
given records.toml <<'END'
[steps.a]
lua = "records.lua:go"
END
run run records.toml -q
grep -q careful err && ! grep -q detail err || fail "$(cat err)"
run run records.toml -q --log-level debug --log-format json
grep -q '^{.*"message":"detail"' err || fail "$(cat err)"
run run records.toml --log-level loud
expect 2 err <<'END'
perilune: --log-level: one of debug, info, warn, error, off expected, got 'loud'
END

it "ends quietly when nobody reads any more, and leaves no process behind"
given endless.toml <<'END'
[steps.a]
sh = "while :; do echo y; done"
END
{ bounded run endless.toml -q 2>err; echo $? >status; } | head -n 1 >out
[ "$(cat status)" -eq 141 ] || fail "status $(cat status): $(cat err)"
[ "$(cat out)" = "a | y" ] || fail "$(cat out)"

it "--output quiet shows what fails and nothing else, -q what steps print as well"
given quiet.toml <<'END'
[steps.good]
sh = "echo all is well"
[steps.bad]
needs = ["good"]
sh = "echo alas; exit 3"
END
run run --output quiet quiet.toml good
expect 0
run run -q quiet.toml good
expect 0 out <<'END'
good | all is well
END
run run --output quiet quiet.toml
[ "$status" -eq 1 ] && [ ! -s out ] && grep -q alas err && ! grep -q "all is well" err || fail "status $status: $(cat out err)"

it "a fan-out whose items failed is not told as one that did not run"
given fan.toml <<'END'
[steps.fan]
each = ["a", "b"]
fail = "collect"
sh = "exit 1"
[steps.rows]
matrix = { n = [1, 2] }
fail = "collect"
sh = "exit 1"
[steps.behind]
needs = ["fan", "rows"]
sh = "echo behind"
END
run run fan.toml
grep -qx "1 more not run because of that: behind" err || fail "$(cat err)"

done_testing
