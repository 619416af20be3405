# `perilune test`: what it runs, what it says, and its exit status.
. "$(dirname "$0")/../support/cli.sh"

given passes_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"

test("sums", function(t) t.equal(1 + 1, 2) end)
test("sleeps for a day", function(t)
  peri.sleep(86400)
  t.equal(t.elapsed(), 86400)
end)
END

it "says little when all is well"
run test --seed 7 passes_test.lua
expect 0 out <<'END'
2 tests passed (seed 7)
END

it "names each test on demand"
run test --seed 7 -v passes_test.lua
expect 0 out <<'END'
passed  sums
passed  sleeps for a day
2 tests passed (seed 7)
END
run test --list passes_test.lua
expect 0 out <<'END'
passes_test.lua:4: sums
passes_test.lua:5: sleeps for a day
END

given fails_test.lua <<'END'
local test = require "perilune.test"

test("good", function(t) t.truthy(true) end)
test.group("a group", function()
  test("bad", function(t)
    local total = 2
    t.equal(total, 3)
  end)
end)
test("later", { skip = "needs a network" }, function() end)
test("not here", function(t) t.skip("wrong system") end)
END

it "shows the line, both values, the traceback, the reasons, and how to run it again"
run test --seed 7 fails_test.lua
expect 1 out <<'END'
FAILED fails_test.lua:5: a group > bad
  fails_test.lua:7: expected 3, got 2
  stack traceback:
  	[C]: in function 'error'
  	fails_test.lua:7: in local 'fn'
  again: perilune test --seed 7 --filter 'a group > bad' fails_test.lua
SKIPPED fails_test.lua:10: later
  needs a network
SKIPPED fails_test.lua:11: not here
  wrong system
1 of 2 tests failed, 2 skipped (seed 7)
END

it "runs what the filter names"
run test --seed 7 --filter goo fails_test.lua
expect 0 out <<'END'
1 test passed (seed 7)
END
run test --seed 7 --filter '^go+d$' fails_test.lua
expect 0 out <<'END'
1 test passed (seed 7)
END
run test --filter nothing fails_test.lua
expect 2 err <<'END'
perilune: test: no test matches 'nothing'
END

it "fails a test that hangs, with the report"
given hangs_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"

test("waits for ever", function() peri.channel(0):recv() end)
test("goes on for ever", { timeout = 10 }, function()
  while true do peri.sleep(1) end
end)
test("is not disturbed", function() end)
END
run test --seed 7 hangs_test.lua
expect 1 out <<'END'
FAILED hangs_test.lua:4: waits for ever
  deadlock: nothing can end the wait in recv on a channel
  stack traceback:
  	hangs_test.lua:4: in local 'fn'
  deadlock: nothing could run any more:
    task 3 (waits for ever) waits in recv on a channel at hangs_test.lua:4 (for 0.000 s)
  again: perilune test --seed 7 --filter 'waits for ever' hangs_test.lua
FAILED hangs_test.lua:5: goes on for ever
  took longer than 10 s of the clock
  again: perilune test --seed 7 --filter 'goes on for ever' hangs_test.lua
2 of 3 tests failed (seed 7)
END

it "fails a test that leaves something behind, and clears it away"
given leaks_test.lua <<'END'
local peri = require "perilune"
local test = require "perilune.test"

test("leaves a task", function()
  peri.spawn({ detached = true, name = "stray" }, function()
    local _ <close> = peri.defer(function() print("cleared away") end)
    peri.sleep(1)
  end)
end)
test("leaves a failure unseen", function() peri.spawn(error, "unseen", 0) end)
test("leaves nothing", function(t) t.assert_no_leaks() end)
END
run test --seed 7 leaks_test.lua
expect 1 out <<'END'
cleared away
FAILED leaks_test.lua:4: leaves a task
  left behind: task 4 (stray), waiting in sleep on a timer at leaks_test.lua:7, spawned at leaks_test.lua:5
  again: perilune test --seed 7 --filter 'leaves a task' leaks_test.lua
FAILED leaks_test.lua:10: leaves a failure unseen
  unobserved failure: task 6 failed: unseen
    spawned at leaks_test.lua:10
  stack traceback:
  	[C]: in function 'error'
  again: perilune test --seed 7 --filter 'leaves a failure unseen' leaks_test.lua
2 of 3 tests failed (seed 7)
END

it "counts a file that does not load as one failure, and goes on"
mkdir files
given files/syntax_test.lua <<'END'
local x = = 1
END
given files/test_good.lua <<'END'
require "perilune.test" ("good", function() end)
END
given files/helper.lua <<'END'
error "no test file"
END
run test --seed 7 files
expect 3 out <<'END'
FAILED files/syntax_test.lua:1: the file
  files/syntax_test.lua:1: unexpected symbol near '='
  again: perilune test --seed 7 files/syntax_test.lua
1 of 2 tests failed (seed 7)
END

it "counts a file that raises as a failure"
given raises.lua <<'END'
error "at the top"
END
run test --seed 7 raises.lua
expect 1 out <<'END'
FAILED raises.lua:1: the file
  raises.lua:1: at the top
  stack traceback:
  	[C]: in function 'error'
  	raises.lua:1: in main chunk
  again: perilune test --seed 7 raises.lua
1 of 1 test failed (seed 7)
END

it "is not ended by a test that calls os.exit"
given exits_test.lua <<'END'
local test = require "perilune.test"
test("first", function() end)
test("exits", function() os.exit(0) end)
test("never", function() end)
END
run test --seed 7 exits_test.lua passes_test.lua
expect 1 out <<'END'
FAILED exits_test.lua: the file
  os.exit(0) was called
  again: perilune test --seed 7 exits_test.lua
1 of 4 tests failed (seed 7)
END

misuse() {
  it "perilune test $*"
  run test "$@"
  expect 2 err
}
misuse <<'END'
perilune: test: no path given; use: perilune test PATH...
END
misuse nowhere <<'END'
perilune: test: cannot open nowhere: No such file or directory
END
mkdir empty
misuse empty <<'END'
perilune: test: no test files in empty: looked for *_test.lua and test_*.lua
END
misuse --shufle passes_test.lua <<'END'
perilune: test: unknown flag '--shufle'; did you mean '--shuffle'?
END
misuse --rounds many passes_test.lua <<'END'
perilune: test: --rounds: not a whole number from 0 on: 'many'
END
misuse --rounds 0 passes_test.lua <<'END'
perilune: test: --rounds: must be at least 1
END
misuse files/helper.lua --color blue <<'END'
perilune: test: --color: must be auto, always or never, got 'blue'
END
: >nothing_test.lua
misuse nothing_test.lua <<'END'
perilune: test: the files have no tests
END

it "tells a test file that is run as a script"
run run passes_test.lua
[ "$status" -eq 1 ] || fail "status $status"
grep -q '^perilune: passes_test.lua:4: run this with: perilune test FILE$' err || fail "$(cat err)"

done_testing
