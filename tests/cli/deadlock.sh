# A run in which nothing can happen any more ends, although the runner watches for signals.
. "$(dirname "$0")/../support/cli.sh"

it "DLK-04, DLK-07: names what waits, and fails"
given stall.lua <<'END'
local peri = require "perilune"
local ch = peri.channel(0)
local _ <close> = peri.defer(function() print("closed") end)
ch:recv()
END
run run stall.lua
expect_only 1 out <<'END'
closed
END
head -n 2 err >first
cat >expected <<'END'
perilune: deadlock: nothing can run, and nothing can wake these tasks:
  task 1 (main) waits in recv on a channel at stall.lua:4
END
same expected first "standard error"

it "DLK-07: the error can be caught"
given caught.lua <<'END'
local peri = require "perilune"
local ok, e = pcall(function() return peri.channel(0):recv() end)
print(ok, peri.is_error(e, "deadlock"))
END
run run caught.lua
expect_only 0 out <<'END'
false	true
END

it "DLK-03: no alarm while a timer runs"
given timer.lua <<'END'
local peri = require "perilune"
local ch = peri.channel(0)
peri.spawn(function() peri.sleep(0.02) ch:send("done") end)
print(ch:recv())
END
run run timer.lua
expect 0 out <<'END'
done
END

done_testing
