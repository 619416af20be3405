# How the failure of a script is told: once, with a traceback of the script alone, and exit status 1.
. "$(dirname "$0")/../support/cli.sh"

it "shows message and traceback"
given fail.lua <<'END'
local function parse(text) error("bad header: " .. text) end
print("before")
parse("x")
END
run run fail.lua
expect_only 1 out <<'END'
before
END
expect_only 1 err <<'END'
perilune: fail.lua:1: bad header: x
stack traceback:
	[C]: in function 'error'
	fail.lua:1: in local 'parse'
	fail.lua:3: in main chunk
END

it "shows the traceback of an error inside a time limit"
given limited.lua <<'END'
local peri = require "perilune"
peri.timeout(5, function() error("inside") end)
END
run run limited.lua
expect 1 err <<'END'
perilune: limited.lua:2: inside
stack traceback:
	[C]: in function 'error'
	limited.lua:2: in function <limited.lua:2>
	[C]: in function 'perilune.timeout'
	limited.lua:2: in main chunk
END

it "shows values that are no strings"
echo 'error { code = 7 }' >table.lua
run run table.lua
expect 1 err <<'END'
perilune: (a table value)
stack traceback:
	[C]: in function 'error'
	table.lua:1: in main chunk
END
echo 'error()' >nil.lua
run run nil.lua
expect 1 err <<'END'
perilune: (nil)
stack traceback:
	[C]: in function 'error'
	nil.lua:1: in main chunk
END

it "names the task whose failure was awaited"
given await.lua <<'END'
local peri = require "perilune"
local t = peri.spawn({ name = "fetch" }, function() error("no route") end)
t:await()
END
run run await.lua
expect 1 err <<'END'
perilune: task 2 (fetch) failed: await.lua:2: no route
  spawned at await.lua:2
stack traceback:
	[C]: in function 'error'
	await.lua:2: in function <await.lua:2>
awaited by:
stack traceback:
	await.lua:3: in main chunk
END

it "lists what a scope's tasks failed with"
given group.lua <<'END'
local peri = require "perilune"
peri.scope(function(s)
  s:spawn(function()
    local _ <close> = peri.defer(function() error("two", 0) end)
    peri.sleep(10)
  end)
  s:spawn(function() error("one", 0) end)
end)
END
run run group.lua
expect 1 err <<'END'
perilune: one task of the scope failed: task 3 failed: one
  error: task 3 failed: one
  suppressed: task 2 failed: two
stack traceback:
	group.lua:2: in main chunk
END

it "says so when the script was cancelled by itself"
given cancelled.lua <<'END'
local peri = require "perilune"
peri.self():cancel("enough")
peri.sleep(1)
END
run run cancelled.lua
[ "$status" -eq 1 ] || fail "status $status"
head -n 1 err | grep -qx "perilune: task 1 (main) was cancelled: enough" || fail "$(cat err)"

it "flushes what was printed before"
given buffered.lua <<'END'
io.stdout:setvbuf("full")
io.write("no newline")
error("stop", 0)
END
bounded run buffered.lua >out 2>&1
status=$?
head -n 1 out | grep -qx "no newlineperilune: stop" || fail "out of order: $(cat out)"

done_testing
