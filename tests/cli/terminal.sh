# On a terminal: lines appear as they are printed, Ctrl-C ends the run after its closers, a hang-up too.
. "$(dirname "$0")/../support/cli.sh"

command -v python3 >/dev/null || exit 77

given waits.lua <<'END'
local peri = require "perilune"
local _ <close> = peri.defer(function(e)
  print("closed by " .. e.by.name)
  io.open("closed", "w"):write(e.by.name):close()
end)
print("ready")
peri.sleep(1000)
END

# Runs the script on a terminal of its own; when it is ready, types $1 or, for "hangup", takes the terminal away.
given on_terminal.py <<'END'
import sys
from pseudo_terminal import Session
script = Session("run", "waits.lua")
while b"ready" not in script.seen and script.read():
    pass
if sys.argv[1] == "hangup":
    script.hang_up()
else:
    script.type(sys.argv[1])
    while script.read():
        pass
print(script.seen.decode().replace("\r\n", "\n"), end="")
sys.exit(script.end())
END

it "SIG-05: Ctrl-C"
python3 on_terminal.py "$(printf '\003')" >out 2>err
status=$?
expect 130 out <<'END'
ready
^Cclosed by SIGINT
END

it "SIG-05: a terminal that goes away"
rm closed
python3 on_terminal.py hangup >out 2>err
status=$?
expect 129 out <<'END'
ready
END
[ "$(cat closed)" = SIGHUP ] || fail "the closer did not run"

done_testing
