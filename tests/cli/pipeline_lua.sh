# Pipelines in Lua, and Lua steps: functions that wait, add steps while the run goes on, and say what is wrong at the caller's line.
. "$(dirname "$0")/../support/cli.sh"

given grow.lua <<'END'
local peri = require "perilune"
local pipeline = require "perilune.pipeline"
local p = pipeline.new("grow", { pools = { net = 1 }, params = { n = { type = "integer", default = 2 } } })
p:step("static", { sh = "echo static", outputs = {} })
p:main(function(ctx)
  print("n is", ctx.params.n)
  assert(ctx:step("static").state == "succeeded")
  local list = ctx:step("list", { sh = "echo '[3, 1, 2]'", capture = "json", pool = "net" }).value
  local out = ctx:map("double", list, function(v, i) return { argv = { "echo", v * 2, i }, capture = "text" } end, { limit = 2 })
  assert(out[1].value == "6 1" and out[3].value == "4 3")
  local sum = ctx:step("sum", function(c)
    local total = 0
    for _, v in ipairs(list) do total = total + v end
    peri.sleep(0.01)
    c:step("inner", { argv = { "echo", total } })
    return total
  end).value
  local task = peri.spawn(function() return ctx:step("beside", { argv = { "echo", "beside" } }).state end)
  assert(task:await() == "succeeded")
  ctx:map("none", {}, function() error "not called" end)
  assert(sum == 6 and ctx.steps.sum.value == 6)
end)
p:finally("bye", function(ctx, run) return { argv = { "echo", "bye", run.status } } end)
return p
END

it "grows while it runs"
run run grow.lua -q
[ "$status" -eq 0 ] || fail "$(cat err)"
[ "$(sort out | tr '\n' ';')" = "beside | beside;bye | bye success;inner | 6;main | n is	2;static | static;" ] || fail "$(cat out)"

it "keeps what a step prints in its log"
run logs -f grow.lua last main
expect 0 out <<'END'
n is	2
END

it "runs the end after a failure, which is shown with its place"
given bad.lua <<'END'
local p = require("perilune.pipeline").new("bad")
p:main(function(ctx)
  ctx:step("fine", { argv = { "true" } })
  local ok, problem = pcall(ctx.step, ctx, "wrong", { sh = "exit 4" })
  print(ok, problem)
  error("given up")
end)
p:finally("bye", function(_, run) print("bye", run.status) end)
return p
END
run run bad.lua -q
[ "$status" -eq 1 ] || fail "status $status"
grep -q "^main | false	.*step 'wrong' failed: exit 4" out && grep -q "^bye | bye	failure" out || fail "$(cat out err)"
grep -q "^failed: main  (bad.lua:2)" err && grep -q "bad.lua:6: given up" err && grep -q "^failed: wrong  (.*bad.lua:4)" err || fail "$(cat err)"

it "collects the failures of a map"
given map.lua <<'END'
local p = require("perilune.pipeline").new("map")
p:main(function(ctx)
  ctx:map("t", { "a", "bad", "c" }, function(v) return { sh = "echo " .. v .. " >>order; test " .. v .. " != bad" } end, COLLECT)
end)
return p
END
sed 's/COLLECT/{ collect = true, limit = 1 }/' map.lua >collect.lua
run run collect.lua -q
[ "$status" -eq 1 ] && [ "$(tr '\n' ' ' <order)" = "a bad c " ] || fail "$status $(cat order)"
grep -q "^failed: t\[bad\]  (collect.lua:3)" err || fail "no place: $(cat err)"
rm order
sed 's/COLLECT/{ limit = 1 }/' map.lua >fast.lua
run run fast.lua -q
[ "$status" -eq 1 ] && [ "$(tr '\n' ' ' <order)" = "a bad " ] || fail "$status $(cat order)"

it "tells misuse at the line of the file, before anything runs"
while IFS='|' read -r code expected; do
  printf 'local p = require("perilune.pipeline").new("x")\n%s\nreturn p\n' "$code" >wrong.lua
  run check wrong.lua
  [ "$status" -eq 3 ] || fail "status $status: $code"
  grep -qF "perilune: wrong.lua:2: $expected" err || fail "$expected: $(cat err)"
done <<'END'
p:step("a", { agrv = { "true" } })|bad argument #2 to 'step' (unknown key 'agrv'; did you mean 'argv'?)
p:step("a", { argv = "true" })|bad argument #2 to 'step' (argv: a list expected, got string)
p:step("a", { argv = { "true" }, sh = "true" })|bad argument #2 to 'step' (only one of argv, sh, lua and fn)
p:step(1, {})|bad argument #1 to 'step' (a name expected, got number)
p:step("a", 5)|bad argument #2 to 'step' (a table or a function expected, got number)
p:step("a", { argv = { "true" }, timeout = "soon" })|bad argument #2 to 'step' (timeout: a duration like "90s" or "2m" expected, got 'soon')
p:step("a", { argv = { "true" } }) p:step("a", { argv = { "true" } })|there is a step 'a' already, at wrong.lua:2
p:main(5)|bad argument #1 to 'main' (a function expected, got number)
p:step("a", { sh = "echo ${params.none}" })|step 'a': there is no params.none
p:step("a", { matrix = { os = { 1 } }, sh = "echo ${matrix.so}" })|step 'a[os=1]': there is no matrix.so
require("perilune.pipeline").new("y", { params = { n = { typ = "integer" } } })|bad argument #2 to 'new' (params.n: unknown key 'typ'; did you mean 'type'?)
require("perilune.pipeline").new("y", { secrets = { n = { env = 1 } } })|bad argument #2 to 'new' (secrets.n.env: a string expected, got 1)
require("perilune.pipeline").new("y", { pool = {} })|bad argument #2 to 'new' (unknown option 'pool'; did you mean 'pools'?)
END

it "tells a step made twice at the line that makes it"
given twice.lua <<'END'
local p = require("perilune.pipeline").new("twice")
p:main(function(ctx)
  ctx:step("a", { argv = { "true" } })
  ctx:step("a", { argv = { "true" } })
end)
return p
END
run run twice.lua -q
[ "$status" -eq 1 ] && grep -q "twice.lua:4: .*there is a step 'a' already, at twice.lua:3" err || fail "$(cat err)"

it "tells at the line of the call what a step that is added names and that is not there"
given names.lua <<'END'
local p = require("perilune.pipeline").new("names", { pools = { net = 1 } })
p:main(function(ctx)
  for _, spec in ipairs {
    { needs = { "mian" } }, { after = { "nothing at all" } }, { pool = "nt" }, { matrix = { x = { 1 } } },
  } do
    print(select(2, pcall(function() ctx:step("a", spec) end)))
  end
  print(select(2, pcall(function() ctx:map("a", {}, print, { limt = 1 }) end)))
  print(select(2, pcall(function() ctx:step("mian") end)))
  print(select(2, pcall(function() ctx:map("a", { x = 1 }, print) end)))
  print(select(2, pcall(function() ctx:map("a", {}, print, 5) end)))
end)
return p
END
run run -q names.lua
[ "$status" -eq 0 ] || fail "$status $(cat err)"
cat >expected <<'END'
main | names.lua:6: step 'a' needs 'mian', which does not exist; did you mean 'main'?
main | names.lua:6: step 'a' stands after 'nothing at all', which does not exist
main | names.lua:6: step 'a': there is no pool 'nt'; did you mean 'net'?
main | names.lua:6: bad argument #2 to 'step' (a matrix is for steps that are known before the run; ctx:map makes one for each item)
main | names.lua:8: bad argument #4 to 'map' (unknown option 'limt'; did you mean 'limit'?)
main | names.lua:9: bad argument #1 to 'step' (there is no step 'mian'; did you mean 'main'?)
main | names.lua:10: bad argument #2 to 'map' (a list expected, got a table of names)
main | names.lua:11: bad argument #4 to 'map' (a table of options expected, got number)
END
diff expected out >difference || fail "$(cat difference)"

it "prints the cycle of functions that would wait for each other, at the line that closes it"
given cycle.lua <<'END'
local p = require("perilune.pipeline").new("cycle")
local function told(fn, ...) print(select(2, pcall(fn, ...))) end
p:main(function(ctx)
  told(function() ctx:step("main") end)
  told(function() ctx:step("own", { argv = { "true" }, needs = { "main" } }) end)
  ctx:step("a", function(a)
    a:step("b", function(b)
      told(function() b:step("a") end)
      told(function() b:step("c", { argv = { "true" }, needs = { "a" } }) end)
      b:step("c", { argv = { "true" } })
    end)
    a:step("c")
  end)
end)
return p
END
run run -q cycle.lua
expect 0 out <<'END'
main | cycle.lua:4: a cycle: main -> main
main | cycle.lua:5: a cycle: main -> own -> main
b | cycle.lua:8: a cycle: b -> a -> b
b | cycle.lua:9: a cycle: b -> c -> a -> b
END

it "tells the place of a call whose result is returned as it is: where the function stands"
given tail.lua <<'END'
local p = require("perilune.pipeline").new("tail")
p:main(function(ctx)
  print(select(2, pcall(function() return ctx:step(5) end)))
  return ctx:step("outer", function(own)
    return own:step("inner", { sh = "exit 7" })
  end)
end)
return p
END
run run -q tail.lua
expect_only 1 out <<'END'
main | tail.lua:3: bad argument #1 to 'step' (a key expected, got number)
END
grep -qx "  tail.lua:4: step 'inner' failed: exit 7, attempt 1/1" err && grep -qx "failed: inner  (tail.lua:4)" err || fail "$(cat err)"

it "items that are tables have keys that are stable over runs"
given tables.lua <<'END'
local p = require("perilune.pipeline").new("tables")
p:main(function(ctx)
  ctx:map("t", { { name = "x", n = 1 }, { "y" } }, function(item) return { argv = { "echo", item.name or item[1] } } end, { limit = 1 })
end)
return p
END
run run -q tables.lua
expect 0 out <<'END'
t[{"n":1,"name":"x"}] | x
t[["y"]] | y
END

it "says that a pipeline which is not returned does not run"
given forgotten.lua <<'END'
local pipeline = require "perilune.pipeline"
local p = pipeline.new("forgotten")
p:step("a", { argv = { "true" } })
END
run run forgotten.lua
expect 0 err <<'END'
perilune: forgotten.lua:2: nothing of the pipeline made here runs: the file has to return it
END

it "ends a Lua step that takes too long or is to end"
given late.toml <<'END'
[steps.late]
lua = "late.lua:forever"
timeout = "200ms"
END
given late.lua <<'END'
function forever()
  local _ <close> = setmetatable({}, { __close = function() print "closed" end })
  while true do end
end
END
run run late.toml -q
[ "$status" -eq 1 ] && grep -qx "late | closed" out && grep -q "it did not end within 0.2s" err || fail "$status $(cat out err)"

it "ends one that holds on by force: after the grace, or at the second signal"
given stubborn.lua <<'END'
local peri = require "perilune"
local p = require("perilune.pipeline").new("stubborn")
p:step("late", { timeout = 0.05, grace = 0.05, fn = function() peri.shield(peri.sleep, 1000) end })
p:step("own", function() peri.timeout(0.01, peri.sleep, 1000) end)
p:step("shielded", function()
  print("begun")
  peri.shield(peri.sleep, 1000)
end)
p:step("closing", function()
  local _ <close> = peri.defer(function() peri.sleep(1000) end)
  print("begun")
  peri.sleep(1000)
end)
return p
END
run run stubborn.lua -q -k late own
[ "$status" -eq 1 ] || fail "status $status"
grep -q "^  it did not end within 0.05s, attempt 1/1" err && grep -q "^  timed out, attempt 1/1" err || fail "$(cat err)"
for step in shielded closing; do
  start run stubborn.lua -q --grace 50ms "$step"
  await "$step | begun"
  send INT
  finish
  [ "$status" -eq 130 ] && grep -qx "1 cancelled: $step" err || fail "$step: $status $(cat err)"
  start run stubborn.lua -q --grace 1h "$step"
  await "$step | begun"
  send INT
  until grep -q "stopping; waiting for $step" err; do sleep 0.02; done
  send INT
  finish
  [ "$status" -eq 130 ] && grep -q "killing; waiting for $step" err || fail "$step: $status $(cat err)"
done

it "finds the modules beside the file and beside those of its steps, from wherever it is run"
mkdir -p apart/steps apart/below
printf '[steps.a]\nlua = "steps/a.lua:a"\n' >apart/perilune.toml
echo 'return { a = function() print((require "near"), (require "top")) end }' >apart/steps/a.lua
echo 'return "near"' >apart/steps/near.lua
echo 'return "top"' >apart/top.lua
for words in "-f apart/perilune.toml" "-C apart/below"; do
  run run -q $words
  expect_only 0 out <<'END'
a | near	top
END
done

it "names a function or file that is not there"
given missing.toml <<'END'
[steps.a]
lua = "late.lua:nothing"
[steps.b]
lua = "none.lua:f"
END
run run -k missing.toml -q
[ "$status" -eq 1 ] && grep -q "late.lua has no function 'nothing'" err && grep -q "cannot read none.lua" err || fail "$(cat err)"

it "fails where a task of a Lua step failed and nobody looked, and tells it without its secrets"
given lost.lua <<'END'
local peri = require "perilune"
return { lose = function(ctx) peri.spawn(function() error("lost " .. ctx.secrets.token) end) end }
END
given lost.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
lua = "lost.lua:lose"
END
TOKEN=sw0rdfish run run lost.toml
[ "$status" -eq 1 ] && grep -q "^perilune: unobserved failure: .*lost.lua:2: lost \*\*\*$" err || fail "status $status: $(cat err)"
grep -q "^failure: 1 succeeded" err && ! grep -q sw0rdfish err || fail "$(cat err)"
given lost_in.lua <<'END'
local peri = require "perilune"
local p = require("perilune.pipeline").new("lost")
p:main(function(ctx)
  peri.spawn(function() error("lost") end)
  ctx:step("a", { argv = { "true" } })
end)
return p
END
run run lost_in.lua
[ "$status" -eq 1 ] && grep -q "^perilune: unobserved failure: .*lost_in.lua:4: lost" err || fail "status $status: $(cat err)"

it "a reporter of the script's own is told instead, and the run is what its steps made of it"
given taken.lua <<'END'
local peri = require "perilune"
peri.on_unobserved(function(_, e) print("told of " .. e.message) end)
local p = require("perilune.pipeline").new("taken")
p:main(function(ctx)
  ctx:step("a", function()
    peri.spawn(function() error("lost", 0) end)
    peri.sleep(0.01)
    collectgarbage()
    peri.sleep(0.01)
  end)
end)
return p
END
run run taken.lua
[ "$status" -eq 0 ] && grep -q "told of lost" out && ! grep -q unobserved err || fail "status $status: $(cat out err)"

it "what children of Lua steps inherit of the streams makes lines of the step: masked, in its log, captured where that is asked"
given children.lua <<'END'
local process = require "perilune.process"
function run()
  process.run { sh = "echo out $TOKEN; echo err >&2", stdout = "inherit", stderr = "inherit" }
  local result = process.run { sh = "echo kept; echo told >&2", stderr = "inherit" }
  print("got " .. result.stdout)
  local ok, problem = pcall(process.run, { sh = "echo failing; echo why >&2; exit 3", stdout = "inherit" })
  print(ok, problem.kind, problem.code, problem.stderr)
  ok, problem = pcall(process.run, { sh = "echo late; sleep 1000", stdout = "inherit", timeout = 0.2 })
  print(ok, problem.kind)
  ok, problem = pcall(process.run, { sh = "head -c 100000 /dev/zero; sleep 1000", stderr = "inherit", output_limit = 10 })
  print(ok, problem.kind, #problem.result.stdout)
end
function spawn()
  local proc <close> = process.spawn { argv = { "sh", "-c", "cat; echo said >&2" } , stdout = "inherit" }
  proc.stdin:write("typed $TOKEN sw0rdfish\n")
  proc.stdin:close()
  proc:wait()
end
function tail()
  process.run { sh = "echo before; sleep 1000 2>nothing & echo after", stdout = "inherit" }
end
END
given children.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.run]
lua = "children.lua:run"
[steps.spawn]
needs = ["run"]
lua = "children.lua:spawn"
[steps.tail]
needs = ["spawn"]
lua = "children.lua:tail"
END
TOKEN=sw0rdfish run run children.toml
[ "$status" -eq 0 ] || fail "status $status: $(cat out err)"
cat >expected <<'END'
run | out ***
run | got kept
run | 
run | failing
run | false	process	3	why
run | 
run | late
run | false	timeout
run | false	limit	10
spawn | typed $TOKEN ***
tail | before
tail | after
END
same expected out "standard output"
for line in "run | err" "run | told" "spawn | said"; do grep -qx "$line" err || fail "no '$line': $(cat err)"; done
grep -q 'out \*\*\*' .perilune/runs/*/logs/run.log && ! grep -rq sw0rdfish .perilune || fail "the log: $(cat .perilune/runs/*/logs/run.log)"

done_testing
