# A script that listens to a signal gets it instead of the runner; when nobody listens any more, the runner has it back.
. "$(dirname "$0")/../support/cli.sh"

it "SIG-05: the script decides what the signal means"
given listens.lua <<'END'
local peri = require "perilune"
do
  local hup <close> = peri.signal.listen("HUP", "INT")
  print("listening")
  io.stdout:flush()
  for _ = 1, 3 do
    print("got " .. hup:recv())
    io.stdout:flush()
  end
end
print("no longer")
io.stdout:flush()
peri.sleep(1000)
END
start run listens.lua
await listening
send HUP
await "got HUP"
send INT
await "got INT"
send HUP
await "no longer"
send INT
finish
expect 130 out <<'END'
listening
got HUP
got INT
got HUP
no longer
END

it "a signal that the script does not listen to is still the runner's"
start run listens.lua
await listening
send TERM
finish
expect 143 out <<'END'
listening
END

done_testing
