# The graph: needs, after, when, if, matrix, each, finally; and how a failure spreads in it.
. "$(dirname "$0")/../support/cli.sh"

finished() { sort "${1:-order}" | tr '\n' ' '; }

it "runs a row of a matrix for each combination that is not excluded"
given m.toml <<'END'
[steps.build]
matrix = { os = ["linux", "mac"], opt = [0, 2], exclude = [{ os = "mac", opt = 0 }] }
argv = ["echo", "${matrix.os}", "${matrix.opt}"]
[steps.all]
needs = ["build"]
argv = ["echo", "all"]
END
run run -q m.toml
[ "$(sort out)" = "all | all
build[opt=0,os=linux] | linux 0
build[opt=2,os=linux] | linux 2
build[opt=2,os=mac] | mac 2" ] && [ "$(tail -1 out)" = "all | all" ] || fail "$(cat out err)"
run run -q m.toml 'build[opt=2,os=mac]'
expect 0 out <<'END'
build[opt=2,os=mac] | mac 2
END

it "names what a matrix cannot be"
given bad.toml <<'END'
[steps.a]
matrix = { os = "linux" }
argv = ["true"]
[steps.b]
matrix = { os = ["linux"], exclude = [{ so = "linux" }] }
argv = ["true"]
END
run check bad.toml
[ "$status" -eq 3 ] && grep -q "bad.toml:2:12: steps.a.matrix.os: a list expected, got string" err || fail "$(cat err)"
sed -i 's/"linux" }$/["linux"] }/' bad.toml
run check bad.toml
expect 3 err <<'END'
perilune: bad.toml:5:1: steps.b: matrix.exclude: there is no matrix.so
END

it "fans out over lists, lines, JSON and values of steps; an empty list is a success"
given e.toml <<'END'
[steps.names]
sh = "echo '[{\"n\": 1}, {\"n\": 2}]'"
capture = "json"
[steps.of_value]
needs = ["names"]
each = "steps.names.value"
argv = ["echo", "v${item.n}"]
[steps.of_lines]
each = { sh = "echo a; echo b" }
argv = ["echo", "l${item}"]
[steps.of_list]
each = ["x", "y"]
limit = 1
argv = ["echo", "i${item}"]
[steps.of_nothing]
each = { sh = "true" }
argv = ["false"]
[steps.last]
needs = ["of_value", "of_lines", "of_list", "of_nothing"]
argv = ["echo", "end"]
END
run run -q e.toml
[ "$status" -eq 0 ] || fail "$(cat err)"
[ "$(cut -d'|' -f2 out | sort | tr -d '\n')" = " end ix iy la lb v1 v2" ] || fail "$(cat out)"

it "lines are all lines, empty ones too; an empty line is no item"
given lines.lua <<'END'
local p = require("perilune.pipeline").new("lines")
for name, text in pairs { none = "", empty = "\\n", open = "a", ended = "a\\n", holes = "\\na\\n\\n\\nb\\n\\n" } do
  p:step(name, { argv = { "printf", text }, capture = "lines" })
end
p:step("tell", { needs = { "none", "empty", "open", "ended", "holes" }, fn = function(ctx)
  for _, name in ipairs { "none", "empty", "open", "ended", "holes" } do
    local lines = ctx:step(name).value
    print(name, #lines, table.concat(lines, "|"))
  end
end })
p:step("items", { needs = "holes", each = "steps.holes.value", argv = { "echo", "${item}" } })
return p
END
run run -q lines.lua tell
expect_only 0 out <<'END'
tell | none	0	
tell | empty	1	
tell | open	1	a
tell | ended	1	a
tell | holes	6	|a|||b|
END
run run -q -j 1 lines.lua items
expect_only 0 out <<'END'
items[a] | a
items[b] | b
END

it "runs an item alone where it is the target, with what its fan-out needs"
given item.toml <<'END'
[steps.pre]
sh = "echo pre"
[steps.list]
sh = "printf '1\\n2\\n3\\n'"
capture = "lines"
[steps.known]
needs = ["pre"]
each = ["1", "2", "3"]
sh = "echo known ${item}"
[steps.found]
needs = ["list"]
each = "steps.list.value"
sh = "echo found ${item}"
[steps.rows]
matrix = { a = ["x", "y"] }
each = { sh = "echo p; echo q" }
sh = "echo ${matrix.a} ${item}"
[steps.behind]
needs = ["known"]
sh = "echo behind"
END
does() {
  expected=$1
  shift
  run run -q -j 1 item.toml "$@"
  [ "$status" -eq 0 ] && [ "$(sed 's/.* | //' out | tr '\n' ';')" = "$expected" ] || fail "$*: $status $(cat out err)"
}
does "pre;known 3;" 'known[3]'
does "pre;known 1;known 3;" 'known[3]' 'known[1]'
does "known 2;" --only 'known[2]'
does "pre;known 2;" --until 'known[2]'
does "found 2;" 'found[2]'
does "x q;" 'rows[a=x][q]'
does "pre;known 1;known 2;known 3;" 'known[1]' known
does "pre;known 1;known 2;known 3;behind;" 'known[1]' behind
run run item.toml 'known[4]'
expect 2 err <<'END'
perilune: unknown target 'known[4]'; did you mean 'known[1]'?
END
run run -q item.toml 'found[4]'
[ "$status" -eq 1 ] && grep -qx "  each: the list has no item for 'found\[4\]'; did you mean 'found\[1\]'?" err || fail "$status $(cat err)"
given adds.lua <<'END'
local p = require("perilune.pipeline").new("adds")
p:main(function(ctx) ctx:map("made", { 1, 2 }, function(n) return { sh = "echo " .. n } end) end)
return p
END
run run adds.lua 'made[1]'
expect 2 err <<'END'
perilune: unknown target 'made[1]'; what a Lua step adds is no target, but that step is, like 'main'
END

it "refuses a list that makes one step twice"
given t.toml <<'END'
[steps.test]
each = { sh = "echo a; echo b; echo a" }
sh = "echo ${item} >>done"
END
run run -q t.toml
[ "$status" -eq 1 ] && [ ! -e done ] || fail "$status $(cat err)"
grep -q "each: the list makes 'test\[a\]' twice" err || fail "$(cat err)"
sed -i "s/each = .*/each = { argv = ['echo', '{\"a\": 1}'] }/" t.toml
run run -q t.toml
[ "$status" -eq 1 ] && grep -qx "  each: a list expected, got an object" err || fail "$status $(cat err)"

given f.toml <<'END'
[steps.test]
each = ["a", "bad", "c", "d"]
limit = 1
sh = "echo ${item} >>order; test ${item} != bad"
FAIL
[steps.behind]
needs = ["test"]
sh = "echo behind >>order"
[steps.other]
after = ["test"]
when = "always"
sh = "echo other >>order"
END

it "ends a fan-out at its first failure, or collects them all"
sed 's/^FAIL//' f.toml >fast.toml
run run -q fast.toml
[ "$status" -eq 1 ] && [ "$(finished)" = "a bad other " ] || fail "$status $(finished)"
rm order
sed 's/^FAIL/fail = "collect"/' f.toml >collect.toml
run run -q collect.toml
[ "$status" -eq 1 ] && [ "$(finished)" = "a bad c d other " ] || fail "$status $(finished)"
grep -q "^failed: test\[bad\]" err || fail "$(cat err)"
rm order

it "goes on with what does not need the failed one with --keep-going"
given k.toml <<'END'
[steps.bad]
sh = "echo bad >>order; exit 1"
[steps.free]
after = []
sh = "sleep 0.2; echo free >>order"
[steps.behind]
needs = ["bad"]
sh = "echo behind >>order"
[steps.behind_free]
needs = ["free"]
sh = "echo behind_free >>order"
END
run run -q -j 2 k.toml
[ "$status" -eq 1 ] && [ "$(finished)" = "bad " ] || fail "$status $(finished)"
rm order
run run -q -j 2 -k k.toml
[ "$status" -eq 1 ] && [ "$(finished)" = "bad behind_free free " ] || fail "$status $(finished)"
rm order

it "has steps for failures, for the end, and for neither"
given w.toml <<'END'
[params]
result = { default = "true" }
[steps.work]
argv = ["${params.result}"]
[steps.on_failure]
when = "failure"
after = ["work"]
sh = "echo failure ${run.status} >>order"
[steps.on_cancel]
when = "cancelled"
sh = "echo cancelled >>order"
[steps.always]
when = "always"
after = ["work"]
sh = "echo always ${run.status} >>order"
[steps.last]
finally = true
sh = "echo last ${run.status} >>order"
END
run run -q w.toml
[ "$status" -eq 0 ] && [ "$(finished)" = "always success last success " ] || fail "$status $(finished)"
rm order
run run -q w.toml -p result=false
[ "$status" -eq 1 ] && [ "$(finished)" = "always failure failure failure last failure " ] || fail "$status $(finished)"
rm order
run run -q w.toml work
[ "$(finished)" = "always success last success " ] || fail "$(finished)"

it "has them at the end too where nothing they stand after is wanted"
given behind.toml <<'END'
[steps.work]
sh = "sleep 0.1; exit 3"
[steps.other]
argv = ["true"]
[steps.cleanup]
after = ["other"]
when  = "always"
sh    = "echo cleanup ${run.status}"
[steps.rescue]
after = ["other"]
when  = "failure"
sh    = "echo rescue"
END
run run -q -j 4 behind.toml work cleanup rescue
sort out >sorted
printf 'cleanup | cleanup failure\nrescue | rescue\n' >expected
same expected sorted "behind what failed"

it "runs what stands behind a step of the end at the end as well"
given ends.toml <<'END'
[steps.second]
needs = ["first"]
sh = "echo second"
[steps.first]
when = "always"
sh = "echo first"
[steps.close]
finally = true
sh = "echo close"
[steps.upload]
finally = true
needs = ["close"]
sh = "echo upload"
[steps.tell]
when = "always"
after = ["upload"]
sh = "echo tell ${run.status}"
[steps.work]
sh = "echo work; exit 1"
END
run run -q -k -j 1 ends.toml
[ "$status" -eq 1 ] && [ "$(head -n 1 out)" = "work | work" ] || fail "$status $(cat out err)"
sort -o out out
expect_only 1 out <<'END'
close | close
first | first
second | second
tell | tell failure
upload | upload
work | work
END
given ends.lua <<'END'
local p = require("perilune.pipeline").new("ends")
p:step("end", { sh = "echo end", when = "always" })
p:main(function(ctx) print(select(2, pcall(function() ctx:step("end") end))) end)
p:finally("more", function(ctx) ctx:step("end") return { sh = "echo more" } end)
return p
END
run run -q ends.lua
expect 0 out <<'END'
main | ends.lua:3: a cycle: main -> end -> main
end | end
more | more
END

it "names the values of steps by their keys, whatever is in them"
given keys.toml <<'END'
[steps.row]
matrix  = { n = ["1", "2"] }
sh      = "echo row ${matrix.n}"
capture = "text"
[steps."a.b"]
sh      = "echo dotted"
capture = "text"
[steps."größe"]
needs = ["row", "a.b"]
if    = "steps.a.b.value == 'dotted'"
argv  = ["echo", "${steps.row[n=2].value}", "${steps.a.b.value}", "${steps.a.b.code}"]
END
run run -q keys.toml
expect 0 out <<'END'
größe | row 2 dotted 0
END

it "understands comparison, and, or, not, in"
given i.toml <<'END'
[params]
channel = { default = "stable" }
n = { type = "integer", default = 7 }
END
n=0
while read -r verdict condition; do
  n=$((n + 1))
  printf '[steps.s%d]\nif = "%s"\nsh = "echo %s"\n' "$n" "$condition" "$verdict" >>i.toml
done <<'END'
yes params.channel == 'stable'
no params.channel != 'stable'
yes params.channel == 'beta' or params.n > 6
no params.channel == 'beta' or not params.n > 6
yes params.channel in ['beta', 'stable'] and params.n <= 7
no params.n in [1, 2]
no env.NO_SUCH_VARIABLE
yes env.HOME
yes (params.n == 7 and (env.HOME or false)) and not params.missing
yes not (params.n < 7)
yes params.channel not in ['beta', 'dev'] and params.n not in [1]
no params.channel not in ['beta', 'stable']
yes env.NO_SUCH_VARIABLE == '' and env.NO_SUCH_VARIABLE != 'x'
no '' != params.missing
END
run run -q i.toml
[ "$status" -eq 0 ] && [ "$(grep -c yes out)" -eq 8 ] && ! grep -q no out || fail "$(cat out err)"

it "a condition that names the item of a fan-out is one of each item"
given items.toml <<'END'
[steps.word]
each = ["a", "b"]
if   = "item != 'b'"
sh   = "echo ${item}"
[steps.part]
each = [{ n = "a", on = true }, { n = "b", on = false }]
if   = "item.on and env.HOME"
sh   = "echo ${item.n}"
[steps.text]
each = ["a", "b"]
if   = "'${item}' == 'b'"
sh   = "echo ${item}"
[steps.none]
each = ["a", "b"]
if   = "env.NO_SUCH_VARIABLE"
sh   = "echo ${item}"
END
run run -q items.toml
[ "$status" -eq 0 ] || fail "$status $(cat err)"
sort -o out out
expect_only 0 out <<'END'
part[{"n":"a","on":true}] | a
text[b] | b
word[a] | a
END
run why -f items.toml 'word[b]'
expect 0 out <<'END'
word[b]: would be skipped: if: item != 'b'
END
run why -f items.toml word
[ "$status" -eq 10 ] || fail "$status $(cat out)"
run why -f items.toml none
[ "$status" -eq 0 ] || fail "$status $(cat out)"

it "a condition that has no value when it is looked at is a failure of its step"
given unknown.toml <<'END'
[steps.a]
if = "'${steps.none.value}' == 'x'"
sh = "true"
[steps.b]
sh = "echo b"
END
run run -q -k unknown.toml
expect_only 1 out <<'END'
b | b
END
grep -qF '  if: ${steps.none.value} has no value' err && ! grep -q "broken off" err || fail "$(cat err)"

it "says where a condition cannot be understood"
given c.toml <<'END'
[steps.a]
if = "params.x === 1"
argv = ["true"]
END
run check c.toml
[ "$status" -eq 3 ] && grep -q "^perilune: c.toml:2:1: steps.a: if: " err || fail "$(cat err)"
sed -i "s/===/not/" c.toml
run check c.toml
expect 3 err <<'END'
perilune: c.toml:2:1: steps.a: if: in expected, got '1'
END

it "begins no step before one that stands below it in the file, however many there are"
awk 'BEGIN { for (i = 1; i <= 10000; i++) printf "[steps.s%d]\nneeds = [\"last\"]\n", i
             print "[steps.last]\nargv = [\"false\"]" }' >many.toml
run run -q --report json=many.json many.toml
grep -A 4 '"counts"' many.json | tr -d ' \n' | grep -q '"counts":{"blocked":10000,"failed":1}' || fail "$(grep -A 5 '"counts"' many.json)"

it "begins what a running step asks for behind what it needs, once"
given asked.lua <<'END'
local pipeline = require "perilune.pipeline"
local p = pipeline.new("asked", { params = {} })
p:main(function(ctx)
  local peri = require "perilune"
  peri.scope(function(s)
    for i = 1, 20 do s:spawn(function() ctx:step("step " .. i, { argv = { "echo", tostring(i) }, needs = i > 1 and { "step 1" } or nil }) end) end
  end)
  return ctx:step("step 1").state == "succeeded"
end)
return p
END
run run -q asked.lua
[ "$status" -eq 0 ] && [ "$(grep -c '|' out)" -eq 20 ] && head -1 out | grep -q "step 1 | 1" || fail "$(cat out err)"

done_testing
