# Lines of a pipeline kept together: by the end of their steps, in the order of the plan, between the marks of a CI service.
. "$(dirname "$0")/../support/cli.sh"

unset NO_COLOR CLICOLOR_FORCE GITHUB_ACTIONS GITLAB_CI
LC_ALL=C
export LC_ALL

# first waits for the end of second, which is behind it in the file: so both speak while the other one does.
given p.toml <<'END'
[steps.first]
sh = "echo f1; until test -e seen && ! kill -0 $(cat seen) 2>/dev/null; do sleep 0.01; done; sleep 0.1; echo f2"
[steps.second]
sh = "echo s1; echo $$ >seen.new; mv seen.new seen; echo s2"
[steps.third]
needs = ["first", "second"]
sh = "echo t1"
END

it "group: the lines of a step in one piece, when it has ended"
sed 's/until test .*; sleep 0.1; /n=0; until grep -q s2 out || [ $((n += 1)) -gt 2000 ]; do sleep 0.01; done; /' p.toml >shown.toml
run run shown.toml -q -j 2 --output group
expect_only 0 out <<'END'
s1
s2
f1
f2
t1
END

it "group: what is long is held outside of memory, and loses nothing"
given long.toml <<'END'
[steps.a]
sh = """
i=0; while [ $((i += 1)) -le 2000 ]; do printf '%01000d %s\\n' 0 $i; [ $((i % 100)) -ne 0 ] || echo e $i >&2; done
head -c 3000000 /dev/zero | tr '\\0' x; printf '\\nend'
"""
END
memory=400000
(ulimit -v $memory; "$PERILUNE" --version) >/dev/null 2>&1 || memory=unlimited  # a sanitizer reserves terabytes
(ulimit -v $memory; bounded run long.toml -q --output group >out 2>err)
status=$?
[ "$status" -eq 0 ] || fail "status $status"
sed 's/^0*//' out | cut -c 1-5 >actual
{ seq 2000 | sed 's/^/ /' ; echo xxxxx; echo end; } >expected
same expected actual "standard output"
seq 100 100 2000 | sed 's/^/e /' >expected
same expected err "standard error"
[ "$(wc -c <out)" -gt 5000000 ] || fail "$(wc -c <out)"

it "keep-order: as the plan has them, whatever ends first"
rm seen
run run p.toml -q -j 2 --output keep-order
expect_only 0 out <<'END'
f1
f2
s1
s2
t1
END

it "keep-order: what a step needs comes before it, what a step adds before the step"
given q.toml <<'END'
[steps.last]
needs = ["items"]
sh = "echo last"
[steps.items]
each = ["x", "y"]
needs = ["early"]
argv = ["echo", "${item}"]
[steps.early]
sh = "echo early"
END
run run q.toml -q -j 1 --output keep-order
expect_only 0 out <<'END'
early
x
y
last
END

it "names the step and its end around its lines"
run run q.toml --output group early
sed -E 's/, [0-9.]+m?s/, T/' err | head -n 2 >told
printf 'early: echo early\nearly: done, T\n' >expected
same expected told "standard error"

it "GitHub: a group for each step that ran, on one stream, and an error beside the file"
given ci.toml <<'END'
[steps.good]
sh = "echo fine; echo ::warning::watch out"
[steps.bad]
needs = ["good"]
sh = "echo 100% bad >&2; exit 3"
[steps.skipped]
if = "false"
sh = "echo no"
END
GITHUB_ACTIONS=true run run ci.toml
sed -E -i 's/[0-9.]+m?s/T/' out
sed -n '/^::group::good/,/^::endgroup::/p; /^::group::bad/,/^::endgroup::/p' out >groups
cat >expected <<'END'
::group::good
good: echo fine; echo ::warning::watch out
fine
::warning::watch out
good: done, T
::endgroup::
::group::bad
bad: echo 100% bad >&2; exit 3
100% bad
bad: FAILED, exit 3, T
::endgroup::
END
same expected groups "groups"
[ "$(grep -c '^::group::' out)" -eq 2 ] || fail "$(cat out)"
grep -q '^::error file=ci.toml,line=3,col=8,title=step bad failed::exit 3$' out || fail "$(cat out)"
: >nothing
same nothing err "standard error"

it "GitLab: sections that fold"
GITLAB_CI=true run run ci.toml good
esc=$(printf '\033')
grep -qE "^$esc\[0Ksection_start:[0-9]+:good\[collapsed=true\]$(printf '\r')$esc\[0Kgood$" out || fail "$(cat -v out)"
grep -qE "^$esc\[0Ksection_end:[0-9]+:good$(printf '\r')$esc\[0K$" out || fail "$(cat -v out)"

it "no marks with --ci none, nor where nobody asks for them"
GITHUB_ACTIONS=true run run ci.toml --ci none
! grep -q '^::group' out || fail "$(cat out)"
run run ci.toml --output group
! grep -q '^::group' out || fail "$(cat out)"

it "loses nothing that it holds when it has to leave at once"
given endless.lua <<'END'
local peri = require "perilune"
function go()
  io.open("there", "w"):close()
  io.write("not ended")
  peri.sleep(1000)
end
END
given endless.toml <<'END'
[steps.a]
sh = "trap '' TERM INT; echo held; until test -e there; do sleep 0.01; done; while :; do sleep 0.1; done"
[steps.b]
lua = "endless.lua:go"
END
rm -f there
"$PERILUNE" run endless.toml -q -j 2 --output group >out 2>err &
pid=$!
kill_when_late $pid
until test -e there && grep -q held .perilune/runs/*/logs/a.log 2>/dev/null; do sleep 0.01; done
for signal in 1 2 3; do
  kill -s INT $pid 2>/dev/null
  sleep 0.2
done
wait $pid
status=$?
[ "$status" -eq 130 ] || fail "status $status"
sort out >sorted
printf 'held\nnot ended\n' >expected
same expected sorted "standard output"
[ "$(head -n 1 err)" = "SIGINT: stopping; waiting for a, b" ] || fail "$(cat err)"

done_testing
