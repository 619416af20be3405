# A failure that nobody looked at is told once, and the run then ends with 1.
. "$(dirname "$0")/../support/cli.sh"

it "JOIN-13: reports a failure that nobody joined"
given unseen.lua <<'END'
local peri = require "perilune"
peri.spawn({ name = "lost" }, function() error("unseen") end)
peri.yield()
print("goes on")
END
run run unseen.lua
expect_only 1 out <<'END'
goes on
END
expect_only 1 err <<'END'
perilune: unobserved failure: task 2 (lost) failed: unseen.lua:2: unseen
  spawned at unseen.lua:2
stack traceback:
	[C]: in function 'error'
	unseen.lua:2: in function <unseen.lua:2>
END

it "JOIN-14: is silent about a failure that was joined"
given joined.lua <<'END'
local peri = require "perilune"
print(peri.spawn(function() error("seen", 0) end):join())
END
run run joined.lua
expect 0 out <<'END'
false	task 2 failed: seen
END

it "hands failures to the script's own reporter"
given reporter.lua <<'END'
local peri = require "perilune"
peri.on_unobserved(function(task, e) print("reporter: " .. tostring(e)) end)
peri.spawn(function() error("oops", 0) end)
END
run run reporter.lua
expect 0 out <<'END'
reporter: task 2 failed: oops
END

it "reports the failure of a detached task that outlives the script"
given detached.lua <<'END'
local peri = require "perilune"
peri.spawn({ detached = true }, function() peri.sleep(0.01) error("late", 0) end)
END
run run detached.lua
[ "$status" -eq 1 ] || fail "status $status"
head -n 1 err | grep -qx "perilune: unobserved failure: task 2 failed: late" || fail "$(cat err)"

it "tells what the reporter itself failed with"
given bad_reporter.lua <<'END'
local peri = require "perilune"
peri.on_unobserved(function(task, e) error("reporter broke on " .. e.message, 0) end)
peri.spawn(function() error("oops", 0) end)
END
run run bad_reporter.lua
[ "$status" -eq 1 ] || fail "status $status"
grep -q "^perilune: unobserved failure: task 3 failed: reporter broke on oops" err || fail "$(cat err)"

it "tells what failed below the reporter, during its own run"
given busy_reporter.lua <<'END'
local peri = require "perilune"
peri.on_unobserved(function(task, e)
  print("reporter: " .. tostring(e))
  peri.spawn(function() peri.spawn(function() error("while reporting", 0) end) end)
end)
peri.spawn(function() error("oops", 0) end)
END
run run busy_reporter.lua
expect_only 1 out <<'END'
reporter: task 2 failed: oops
END
[ "$(grep -c "unobserved failure" err)" -eq 1 ] || fail "told $(grep -c "unobserved failure" err) times: $(cat err)"
grep -q "^perilune: unobserved failure: task 5 failed: while reporting" err || fail "$(cat err)"

it "tells it itself when the run is being stopped, and no reporter can start any more"
given stopped.lua <<'END'
local peri = require "perilune"
peri.on_unobserved(function(task, e) print("reporter: " .. tostring(e)) end)
peri.spawn(function()
  local _ <close> = peri.defer(function() error("closer broke", 0) end)
  peri.sleep(1000)
end)
peri.yield()
os.exit(3)
END
run run stopped.lua
[ "$status" -eq 3 ] || fail "status $status"
grep -q "^perilune: unobserved failure: task 2 failed: closer broke" err || fail "$(cat out err)"

it "ISO: what failed at a limit in an isolate is no news when its run tells of a limit, and is told when none does"
given limits.lua <<'END'
local peri = require "perilune"
local hungry = [[local peri = require "perilune"
  peri.spawn(function() local t = {} while true do t[#t + 1] = {} end end)
  peri.yield()
]]
local vm <close> = peri.isolate { memory = "512KiB" }
local ok, e = vm:run(hungry .. "while true do pcall(string.rep, 'x', 1e6) end"):join()
print(ok, e.kind)
io.stderr:write("and then\n")
print(vm:run(hungry .. "return 1"):join())
END
run run limits.lua
expect_only 1 out <<'END'
false	limit
true	1
END
grep -v "^  spawned\|^stack\|^	" err >told
sed 's/task [0-9]*/task N/' told >err
same - err "standard error" <<'END'
and then
perilune: unobserved failures at a limit: 1; the first: task N failed: not enough memory
END

it "ISO: a limit of one run hides nothing that failed in a run beside it"
given beside.lua <<'END'
local peri = require "perilune"
local vm <close> = peri.isolate { memory = "512KiB" }
local fine = vm:run [[local peri = require "perilune"
  peri.spawn(function() local t = {} while true do t[#t + 1] = {} end end)
  peri.sleep(0.05)
  return "fine"]]
local hungry = vm:run "while true do pcall(string.rep, 'x', 1e6) end"
print(select(2, hungry:join()).kind, fine:join())
END
run run beside.lua
expect_only 1 out <<'END'
limit	true	fine
END
grep -q "^perilune: unobserved failures at a limit: 1; the first: task [0-9]* failed: not enough memory" err || fail "$(cat err)"

done_testing
