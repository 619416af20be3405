# Spans: what is logged inside carries them, and their ends are told.
. "$(dirname "$0")/../support/cli.sh"

# The records, without time and seconds, in the order in which they were written.
records() { sed 's/^[^ ]*Z //; s/seconds=[^ ]* //' err; }

it "OBS-03: records keep the span of their task across waits, and tasks spawned inside inherit it"
given spans.lua <<'END'
local peri = require "perilune"
peri.span("load", { user = 3 }, function()
  peri.log.info("begins", { user = 4 })
  local child = peri.spawn({ name = "child" }, function()
    peri.sleep(0.02)
    peri.span("part", { n = 1 }, function() peri.sleep(0.01) peri.log.info("in the child") end)
  end)
  peri.sleep(0.001)
  peri.log.info("goes on")
  child:join()
end)
peri.log.info("outside")
END
PERILUNE_LOG_LEVEL=debug run run spans.lua
records >got
cat >wanted <<'END'
INFO  [1 main] begins span=load span_id=1 user=4
INFO  [1 main] goes on span=load span_id=1 user=3
INFO  [2 child] in the child n=1 span=load:part span_id=2 user=3
DEBUG [2 child] span ended n=1 span=load:part span_id=2 status=ok user=3
DEBUG [1 main] span ended span=load span_id=1 status=ok user=3
INFO  [1 main] outside
END
same wanted got "standard error"

it "OBS-03: a span ends with a status, whatever ends it"
given ends.lua <<'END'
local peri = require "perilune"
local function quietly(fn) return (pcall(fn)) end
quietly(function() peri.span("fails", nil, error, "no") end)
quietly(function() peri.timeout(0.001, peri.span, "late", nil, peri.sleep, 10) end)
local task = peri.spawn(peri.span, "cut", nil, peri.sleep, 10)
peri.sleep(0.01)
task:cancel()
task:join()
print(peri.span("gives", {}, function(...) return select("#", ...), ... end, nil, 2, nil))
END
PERILUNE_LOG_LEVEL=debug run run ends.lua
records | sed 's/.*span=//; s/span_id=[0-9]* //' >got
cat >wanted <<'END'
fails status=error
late status=cancelled
cut status=cancelled
gives status=ok
END
same wanted got "standard error"
printf '3\tnil\t2\tnil\n' >wanted
same wanted out "standard output"

it "misuse of span names the argument at the caller's line"
given misuse.lua <<'END'
local peri = require "perilune"
for i, arguments in ipairs { { 1, nil, print }, { "x", 3, print }, { "x", nil, 3 } } do
  print(select(2, pcall(function() peri.span(table.unpack(arguments, 1, 3)) end)))
end
END
run run misuse.lua
expect 0 out <<'END'
misuse.lua:3: bad argument #1 to 'span' (a name expected, got number)
misuse.lua:3: bad argument #2 to 'span' (a table of fields or nil expected, got number)
misuse.lua:3: bad argument #3 to 'span' (a function expected, got number)
END

done_testing
