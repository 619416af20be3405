# Several workers whose tasks compute: how a run ends that has such tasks on all of them, and tasks that wait.
. "$(dirname "$0")/../support/cli.sh"

given busy.lua <<'END'
local peri = require "perilune"
local function waits(w)
  local _ <close> = peri.defer(function(e) peri.sleep(0.01) print("waiting " .. w .. " closed: " .. e.reason) end)
  peri.sleep(1000)
end
local function computes(w)
  local _ <close> = setmetatable({}, { __close = function(_, e) print("computing " .. w .. " closed: " .. e.reason) end })
  while true do end
end
for w = 1, 3 do
  peri.parallel({ worker = w }, waits, w)
  peri.parallel({ worker = w }, computes, w)
end
peri.parallel(function(ch)
  local _ <close> = peri.defer(function(e) print("receiving closed: " .. e.reason) end)
  ch:recv()
end, peri.shared_channel(0))
for w = 1, 3 do peri.parallel({ worker = w }, peri.yield):await() end
peri.sleep(0.05)
print("ready")
io.stdout:flush()
if arg[1] == "exit" then peri.parallel({ worker = 2 }, function() os.exit(7) end):await() end
peri.sleep(1000)
END

closed_by() {
  sort out >sorted && mv sorted out
  expect "$1" out <<END
computing 1 closed: $2
computing 2 closed: $2
computing 3 closed: $2
ready
receiving closed: $2
waiting 1 closed: $2
waiting 2 closed: $2
waiting 3 closed: $2
END
}

it "RUN-06: a signal ends the tasks of every worker, closers run"
start run --workers 3 busy.lua
await ready
send INT
finish
closed_by 130 SIGINT

it "ISO-08: os.exit on another worker ends the whole run, closers run"
run run --workers 3 busy.lua exit
closed_by 7 os.exit

done_testing
