# How many at a time, how long, how often: jobs, pools, timeouts, retries.
. "$(dirname "$0")/../support/cli.sh"

# Each writes + when it begins and - when it ends; `peak` is how many there were at once.
given jobs.toml <<'END'
[pools]
one = 1
[steps.a]
each = ["1", "2", "3", "4", "5", "6"]
sh = "echo + >>a; sleep 0.1; echo - >>a"
[steps.b]
each = ["1", "2", "3"]
pool = "one"
sh = "echo + >>b; sleep 0.1; echo - >>b"
END
peak() { awk '/\+/ { if (++n > peak) peak = n } /-/ { n-- } END { print peak }' "$1"; }

it "keeps to the jobs and to the size of a pool"
run run -q -j 3 jobs.toml
[ "$status" -eq 0 ] || fail "$(cat err)"
cat a b >all
[ "$(peak a)" -le 3 ] && [ "$(peak a)" -ge 2 ] && [ "$(peak b)" -eq 1 ] || fail "a $(peak a), b $(peak b)"
rm a b
run run -q -j 8 --pool one=3 jobs.toml b
[ "$(peak b)" -eq 3 ] || fail "b $(peak b)"
rm b
PERILUNE_JOBS=1 run run -q jobs.toml a
[ "$(peak a)" -eq 1 ] || fail "a $(peak a)"
rm a

it "functions have their places in a pool too, which are free while they wait for steps"
given pool.lua <<'END'
local peri = require "perilune"
local p = require("perilune.pipeline").new("pool", { pools = { one = 1 } })
local inside = 0
local function alone()
  assert(inside == 0, "not alone")
  inside = inside + 1
  peri.sleep(0.01)
  inside = inside - 1
end
local function outer(ctx)
  alone()
  ctx:map(ctx.key .. ".inner", { 1, 2 }, function() return { pool = "one", fn = alone } end)
  ctx:step(ctx.key .. ".command", { pool = "one", sh = "true" })
  alone()
end
p:step("a", { pool = "one", fn = outer })
p:step("b", { pool = "one", fn = outer })
p:step("c", { pool = "one", fn = function(ctx)
  pcall(peri.timeout, 0.01, function() ctx:step("slow", { sh = "sleep 0.1" }) end)
  ctx:step("late", { pool = "one", sh = "true" })
end })
return p
END
run run -v pool.lua
[ "$status" -eq 0 ] && [ "$(grep -c ': done, ' err)" -eq 11 ] || fail "$status $(cat err)"
grep -qx "[abc]: waits for a slot of pool one" err || fail "$(cat err)"

it "starts no second process above the load limit"
run run -q -j 8 -l 0 jobs.toml b
[ "$status" -eq 0 ] && [ "$(peak b)" -eq 1 ] || fail "b $(peak b)"

it "refuses pools and numbers that do not exist"
run run --pool two=2 jobs.toml
expect 2 err <<'END'
perilune: --pool: there is no pool 'two'
END
run run -j none jobs.toml
expect 2 err <<'END'
perilune: --jobs: a whole number from 1 on or auto expected, got 'none'
END

it "ends a step at its timeout, its children too"
given timeout.toml <<'END'
[steps.slow]
timeout = "300ms"
sh = "sleep 60 & echo $! >child; sleep 60"
END
run run -q timeout.toml
[ "$status" -eq 1 ] && grep -q "it did not end within 0.3s" err || fail "$status $(cat err)"
! kill -0 "$(cat child)" 2>nothing || fail "the child still runs"

it "ends the run at --timeout with 124, and runs what runs always"
given run.toml <<'END'
[steps.slow]
sh = "sleep 60"
[steps.bye]
when = "always"
after = ["slow"]
sh = "echo bye ${run.status}"
END
run run -q --timeout 300ms run.toml
[ "$status" -eq 124 ] && grep -qx "bye | bye cancelled" out || fail "$status $(cat out err)"

it "... and these within a limit: their own, or the grace"
given ends.toml <<'END'
[steps.slow]
sh = "sleep 60"
[steps.own]
when = "always"
after = ["slow"]
timeout = "200ms"
sh = "echo own; sleep 60"
[steps.grace]
when = "always"
after = ["slow"]
sh = "echo grace; sleep 60"
[steps.first]
sh = "true"
[steps.beside]
when = "always"
after = ["first"]
sh = "echo beside; sleep 60"
[steps.quick]
finally = true
sh = "echo quick"
END
run run -q --timeout 300ms --grace 200ms ends.toml
[ "$status" -eq 124 ] && [ "$(sort out | tr '\n' ';')" = "beside | beside;grace | grace;own | own;quick | quick;" ] || fail "$status $(cat out err)"
[ "$(grep -c "it did not end within 0.2s" err)" -eq 1 ] || fail "$(cat err)"
[ "$(grep -c "it did not end within the grace of 0.2s that is left when the run's time is over; a timeout of its own gives it more" err)" -eq 2 ] ||
  fail "$(cat err)"
given ends.lua <<'END'
local peri = require "perilune"
local p = require("perilune.pipeline").new("ends", { timeout = "200ms", grace = "200ms" })
p:step("slow", { sh = "sleep 60" })
p:step("fn", { finally = true, fn = function() peri.sleep(60) end })
p:finally("made", function() return { sh = "echo made; sleep 60" } end)
p:finally("making", function() peri.sleep(60) end)
p:step("items", { finally = true, each = { sh = "echo a; sleep 60" }, sh = "echo ${item}" })
return p
END
run run -q ends.lua
[ "$status" -eq 124 ] && [ "$(cat out)" = "made | made" ] || fail "$status $(cat out err)"
[ "$(grep -c "^  it did not end within the grace of 0.2s that" err)" -eq 4 ] || fail "$(cat err)"

it "a limit of all steps is one of functions too"
given function.lua <<'END'
local p = require("perilune.pipeline").new("function")
p:step("f", function() require("perilune").sleep(60) end)
return p
END
run run -q --step-timeout 100ms function.lua
[ "$status" -eq 1 ] && grep -q "it did not end within 0.1s" err || fail "$status $(cat err)"

it "tries again, as often and for what it was told"
given retry.toml <<'END'
[steps.flaky]
sh = 'echo x >>tries; test "$(wc -l <tries)" -ge 3 || exit 7'
retry = { attempts = 4, backoff = "10ms..40ms", factor = 2.0, jitter = 0.2, on = ["exit:6,7", "timeout"] }
[steps.other]
sh = 'echo x >>others; exit 8'
retry = { attempts = 4, backoff = "10ms..40ms", on = ["exit:6,7", "timeout"] }
[steps.late]
sh = 'echo x >>lates; sleep 60'
timeout = "50ms"
retry = { attempts = 2, backoff = "10ms", on = ["timeout"] }
[steps.killed]
sh = 'echo x >>kills; kill -9 $$'
retry = { attempts = 3, backoff = "10ms", on = ["signal:KILL"] }
END
run run -q -k retry.toml
[ "$(cat tries | wc -l) $(cat others | wc -l) $(cat lates | wc -l) $(cat kills | wc -l)" = "3 1 2 3" ] ||
  fail "$(wc -l tries others lates kills)"
grep -q "attempt 3/3" err && grep -q "attempt 2/2" err || fail "$(cat err)"
given plain.toml <<'END'
[steps.a]
sh = 'echo x >>plain; exit 1'
END
run run -q --retries 1 plain.toml
[ "$(wc -l <plain)" -eq 2 ] || fail "$(cat plain)"

it "tries again where an output was not made"
given unmade.toml <<'END'
[steps.a]
sh      = "echo >>tried; [ $(wc -l <tried) -lt 2 ] || echo x >made"
outputs = ["made"]
retry   = { attempts = 3, backoff = "1ms" }
END
run run unmade.toml
[ "$status" -eq 0 ] && [ "$(wc -l <tried)" -eq 2 ] || fail "$status $(cat err)"
grep -qx "a: attempt 1/3: it ended well, but its output made is not there, again in 1ms" err || fail "$(cat err)"

it "does not wait for the next attempt when it is to end"
given wait.toml <<'END'
[steps.a]
sh = 'exit 1'
retry = { attempts = 2, backoff = "1h" }
END
start run -q wait.toml
n=0; until grep -q "again in" err || [ $((n += 1)) -gt 500 ]; do sleep 0.02; done
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

it "says what is wrong with a retry"
given wrong.toml <<'END'
[steps.a]
argv = ["true"]
retry = { on = ["exit"] }
[steps.b]
argv = ["true"]
retry = { backoff = "soon" }
[steps.c]
argv = ["true"]
retry = { jitter = 2 }
[steps.d]
argv = ["true"]
retry = { factor = 0.5 }
END
run check wrong.toml
[ "$status" -eq 3 ] && grep -q "steps.a: retry.on: .* expected, got 'exit'" err && grep -q "steps.b: retry.backoff: a range" err || fail "$(cat err)"
grep -q "steps.c: retry.jitter: a number from 0 to 1" err && grep -q "steps.d: retry.factor: a number from 1 on" err || fail "$(cat err)"

it "draws a pause with jitter from the range of the backoff"
given jitter.toml <<'END'
[steps.a]
sh    = "exit 1"
retry = { attempts = 9, backoff = "20ms..40ms", jitter = 0.5 }
END
run run jitter.toml
grep -c "again in \(1[0-9]\|2[0-9]\|3[0-9]\|40\)ms$" err >pauses
[ "$(cat pauses)" -eq 8 ] || fail "$(cat err)"

done_testing
