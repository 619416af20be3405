# `perilune test`: seeds, shuffled order, rounds, cancelling everywhere, traces, TAP and JUnit.
. "$(dirname "$0")/../support/cli.sh"

given order_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
for i = 1, 5 do
  test("t" .. i, function(t)
    io.write("t" .. i .. ":")
    for k = 1, 5 do peri.spawn(function() io.write(" ", k) end) end
    t.wait_all_blocked()
    io.write(" random ", math.random(1000), "\n")
  end)
end
END

it "COP-08: the order of tests and of tasks follows the seed"
run test --seed 5 order_test.lua
cut -d' ' -f1-6 out | head -n 5 >got
printf 't%d: 1 2 3 4 5\n' 1 2 3 4 5 >expected
same expected got "without --shuffle"
run test --seed 5 --shuffle order_test.lua
cp out first
[ "$status" -eq 0 ] || fail "status $status"
run test --seed 5 --shuffle order_test.lua
expect 0 out <first
cut -d: -f1 out | head -n 5 >tests_in_order
sort tests_in_order | cmp -s tests_in_order - && fail "the tests ran in order"
cut -d' ' -f2-6 out | head -n 5 | sort -u >tasks_in_order
[ "$(grep -c . tasks_in_order)" -gt 2 ] || fail "the tasks ran in one order"
run test --seed 6 --shuffle order_test.lua
cmp -s out first && fail "another seed, the same order"

it "leaves the turns of an ordered test in order, and mixes those of the others in the same file"
given some_ordered_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
local function turns(t)
  for k = 1, 5 do peri.spawn(function() io.write(" ", k) end) end
  t.wait_all_blocked()
  io.write("\n")
end
test("free", turns)
test("ordered", { ordered = true }, function(t) io.write("ordered") turns(t) end)
test("free too", turns)
END
for seed in 1 2 3 4 5 6; do
  run test --seed "$seed" --shuffle some_ordered_test.lua
  grep -q '^ordered 1 2 3 4 5$' out || fail "$(cat out)"
  grep '^ ' out >>mixed
done
[ "$(sort -u mixed | grep -c .)" -gt 6 ] || fail "the others are in order: $(cat mixed)"

it "draws a seed, and names it"
run test order_test.lua
tail -n 1 out | grep -Eq '^5 tests passed \(seed [1-9][0-9]*\)$' || fail "$(tail -n 1 out)"
seed=$(tail -n 1 out | sed 's/.*seed \([0-9]*\))/\1/')
cp out first
run test --seed "$seed" order_test.lua
expect 0 out <first

it "repeats one test of many alone"
run test --seed 5 --shuffle order_test.lua
grep '^t4:' out >first
run test --seed 5 --shuffle --filter t4 order_test.lua
head -n 1 out >again
same first again "t4 alone"

it "runs rounds with one seed after the other"
given rounds_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
test("first come", function(t)
  local first
  for k = 1, 4 do peri.spawn(function() first = first or k end) end
  t.wait_all_blocked()
  t.equal(first, 1)
end)
END
run test --seed 1 --rounds 20 rounds_test.lua
expect 0 out <<'END'
20 tests passed in 20 rounds (seeds 1 to 20)
END
run test --seed 1 --rounds 20 --shuffle rounds_test.lua
[ "$status" -eq 1 ] || fail "no order was wrong"
again=$(sed -n 's/^  again: perilune //p' out | head -n 1)
# shellcheck disable=SC2086 # words of a command
run $again
[ "$status" -eq 1 ] || fail "the failure does not repeat with: $again"

it "cancels a test at each of its suspension points"
given cancel_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
local held = 0
local function with_held(fn)
  held = held + 1
  fn()
  held = held - 1
end
test.after(function(t) t.equal(held, 0) end)
test("gives back what it holds", function() with_held(function() peri.sleep(1) peri.sleep(1) end) end)
END
run test --seed 7 cancel_test.lua
expect 0 out <<'END'
1 test passed (seed 7)
END
run test --seed 7 --cancel-here cancel_test.lua
[ "$status" -eq 1 ] || fail "status $status"
head -n 2 out >got
cat >expected <<'END'
FAILED cancel_test.lua:10: gives back what it holds
  cancelled at suspension 1, in sleep on a timer at cancel_test.lua:10: cancel_test.lua:9: expected 0, got 1
END
same expected got "the failure"
grep -q "^  again: perilune test --seed 7 --cancel-here --filter 'gives back what it holds' cancel_test.lua$" out || fail "$(cat out)"

it "--cancel-here: what a cancelled round has left unseen is not held against the next test"
given failing_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
test("looks at a failure", function()
  local task = peri.spawn(error, "on purpose")
  peri.sleep(1)
  task:join()
end)
test("has none", function() peri.sleep(1) end)
END
run test --seed 7 --cancel-here failing_test.lua
expect 0 out <<'END'
2 tests passed (seed 7)
END

it "VIR-08: same seed, same trace, byte for byte"
given talk_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
test("talk", function()
  local a, b = peri.channel(0), peri.channel(1)
  for i = 1, 3 do
    peri.spawn({ name = "sender " .. i }, function()
      for k = 1, 3 do a:send(k) peri.sleep(i) b:send(k) end
    end)
  end
  for _ = 1, 18 do peri.select { a:recv_op(), b:recv_op() } end
end)
END
run test --seed 3 --shuffle --trace one talk_test.lua
expect 0 out <<'END'
1 test passed (seed 3)
END
run test --seed 3 --shuffle --trace two talk_test.lua
same one two "the trace"
grep -q '^0.000000000 task [0-9]* (sender [123]) waits in send on a channel at talk_test.lua:7$' one || fail "$(cat one)"
[ "$(grep -c . one)" -gt 50 ] || fail "a short trace: $(cat one)"
run test --seed 4 --shuffle --trace two talk_test.lua
cmp -s one two && fail "another seed, the same trace"

given mixed_test.lua <<'END'
local test = require "perilune.test"
test("good & <fine>", function() end)
test("bad #1", function(t) t.equal("x\1y", "<z>") end)
test("skipped", { skip = "why \"not\"" }, function() end)
END

it "writes TAP"
run test --seed 7 --tap mixed_test.lua
expect 1 out <<'END'
TAP version 14
ok 1 - good & <fine>
not ok 2 - bad \#1
  ---
  at: mixed_test.lua:3
  seed: 7
  message: |
    mixed_test.lua:3: expected "<z>", got "x\1y"
    stack traceback:
    	[C]: in function 'error'
    	mixed_test.lua:3: in local 'fn'
  ...
ok 3 - skipped # SKIP why "not"
1..3
# seed 7
END

it "writes JUnit XML"
run test --seed 7 --junit results.xml mixed_test.lua
[ "$status" -eq 1 ] || fail "status $status"
sed 's/time="[0-9.]*"/time="T"/g' results.xml >got
cat >expected <<'END'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="perilune" tests="3" failures="1" errors="0" skipped="1" time="T">
  <testsuite name="mixed_test.lua" tests="3" failures="1" errors="0" skipped="1" time="T">
    <properties><property name="seed" value="7"/></properties>
    <testcase classname="mixed_test.lua" name="good &amp; &lt;fine&gt;" file="mixed_test.lua" line="2" time="T"/>
    <testcase classname="mixed_test.lua" name="bad #1" file="mixed_test.lua" line="3" time="T">
      <failure message="mixed_test.lua:3: expected &quot;&lt;z&gt;&quot;, got &quot;x\1y&quot;">mixed_test.lua:3: expected "&lt;z&gt;", got "x\1y"
stack traceback:
	[C]: in function 'error'
	mixed_test.lua:3: in local 'fn'</failure>
    </testcase>
    <testcase classname="mixed_test.lua" name="skipped" file="mixed_test.lua" line="4" time="T">
      <skipped message="why &quot;not&quot;"/>
    </testcase>
  </testsuite>
</testsuites>
END
same expected got "results.xml"
run test --seed 7 --junit nowhere/results.xml mixed_test.lua
[ "$status" -eq 2 ] || fail "status $status"
grep -q '^perilune: test: cannot write nowhere/results.xml: No such file or directory$' err || fail "$(cat err)"

it "colours what it says only where that is wanted"
run test --seed 7 --color always mixed_test.lua
grep -q "$(printf '\033\\[31mFAILED\033\\[0m')" out || fail "no colour: $(cat out)"
unset NO_COLOR
CLICOLOR_FORCE=1 run test --seed 7 mixed_test.lua
grep -q "$(printf '\033')" out || fail "CLICOLOR_FORCE has no effect"
CLICOLOR_FORCE=1 NO_COLOR=1 run test --seed 7 mixed_test.lua
grep -q "$(printf '\033')" out && fail "NO_COLOR does not beat CLICOLOR_FORCE"
run test --seed 7 mixed_test.lua
grep -q "$(printf '\033')" out && fail "colours in a file"

it "ends on a signal, after closers, with what it knows so far"
given slow_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"
test("quick", function() end)
test("slow", function()
  local _ <close> = peri.defer(function() print("closed") io.stdout:flush() end)
  local l = peri.signal.listen("USR1")
  print("ready") io.stdout:flush()
  l:recv()
end)
END
start test --seed 7 slow_test.lua
await ready
send INT
finish
[ "$status" -eq 130 ] || fail "status $status: $(cat out err)"
grep -q '^closed$' out || fail "no closer ran: $(cat out)"

done_testing
