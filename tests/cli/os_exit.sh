# os.exit(n): closers run first, then the program exits with n, whatever went unobserved.
. "$(dirname "$0")/../support/cli.sh"

it "ISO-08: runs the closers of every task and flushes"
given closers.lua <<'END'
local peri = require "perilune"
peri.spawn(function()
  local _ <close> = peri.defer(function() peri.sleep(0.01) print("child closed") end)
  peri.sleep(1000)
end)
local _ <close> = peri.defer(function() print("main closed") end)
peri.yield()
io.write("leaving\n")
os.exit(7)
print("never")
END
run run closers.lua
expect 7 out <<'END'
leaving
main closed
child closed
END

it "exits from a task other than the main one"
given inner.lua <<'END'
local peri = require "perilune"
peri.spawn(function() os.exit(4) end)
peri.sleep(1000)
END
run run inner.lua
expect 4

it "is not caught by pcall"
given caught.lua <<'END'
print(pcall(os.exit, 5))
END
run run caught.lua
expect 5

it "takes booleans"
echo 'os.exit(true)' >true.lua
run run true.lua
expect 0
echo 'os.exit(false)' >false.lua
run run false.lua
expect 1

it "hides a failure that went unobserved from the exit status"
given unseen.lua <<'END'
local peri = require "perilune"
peri.spawn(function() error("unseen", 0) end)
peri.yield()
os.exit(0)
END
run run unseen.lua
[ "$status" -eq 0 ] || fail "status $status"

done_testing
