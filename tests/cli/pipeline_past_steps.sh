# Steps that only a run makes, the items of a fan-out and what a Lua step adds: why, show and resume know them from the last run.
. "$(dirname "$0")/../support/cli.sh"

given p.lua <<'END'
local p = require("perilune.pipeline").new("p")
p:main(function(ctx)
  ctx:step("fetch", { sh = "cat from >got", inputs = { "from" }, outputs = { "got" } })
  local names = ctx:step("names", { sh = "echo '[\"x\", \"y\"]'", capture = "json" }).value
  ctx:map("test", names, function(n) return { sh = "echo " .. n .. " >>done" } end, { limit = 1 })
  ctx:step("end", { sh = "echo end >>done" })
end)
p:step("after", { needs = { "main" }, sh = "echo after >>done" })
p:finally("last", function() return { argv = { "true" } } end)
return p
END
given p.toml <<'END'
[params]
who = { default = "me" }
[steps.list]
each = ["a", "b"]
sh = "echo ${item} ${params.who} >${item}"
outputs = ["${item}"]
[steps.late]
each = { sh = "echo c; echo d" }
argv = ["touch", "${item}"]
outputs = ["${item}"]
[steps.broken]
each = { sh = "echo e" }
sh = "exit 3"
END
echo 1 >from
did() { tr '\n' ';' <done; rm -f done; }
why() {
  expected_status=$1 file=$2
  shift 2
  run why -f "$file" "$@"
  grep -v '^#' >expected
  [ "$status" -eq "$expected_status" ] && sed 's/run [0-9T-]*/run ID/' out >actual && same expected actual "why" || fail "$status $(cat out err)"
}

it "knows none before there was a run, but those that the file lists"
run why -f p.lua fetch
expect 2 err <<'END'
perilune: unknown step 'fetch'
END
why 10 p.toml "list[a]" <<'END'
list[a]: would run: it has not succeeded yet
END

it "why: the items of a fan-out, as if the pipeline named them"
run run -q -k p.toml
for key in "list[a]" "late[c]"; do
  why 0 p.toml "$key" <<END
$key: up to date since run ID
END
done
echo other >c
why 10 p.toml "late[c]" <<'END'
late[c]: would run: output c changed
END
why 10 p.toml "list[a]" -p who=you <<'END'
list[a]: would run: params.who changed
END
run why -f p.toml "late[z]"
[ "$status" -eq 2 ] && grep -qx "perilune: unknown step 'late\[z\]'" err || fail "$status $(cat out err)"

it "why: what a Lua step adds, as far as the last run tells"
run run -q p.lua
[ "$status" -eq 0 ] && [ "$(did)" = "x;y;end;after;" ] || fail "$status $(cat err)"
why 0 p.lua fetch <<'END'
fetch: up to date: its files are those of run ID; whether its command changes is known when it runs
END
echo 2 >from
why 10 p.lua fetch <<'END'
fetch: would run: input from changed
END
echo 1 >from
rm got
why 10 p.lua fetch <<'END'
fetch: would run: output got is missing
END
why 10 p.lua "test[x]" <<'END'
test[x]: would run: it has no outputs, says run ID
END

it "show: the items in full, the others as the run had them"
run show -f p.toml "list[b]"
[ "$status" -eq 0 ] && grep -q '"command": "echo b me >b"' out || fail "$(cat out err)"
run show -f p.lua "test[y]"
[ "$status" -eq 0 ] && grep -q '"command": "echo y >>done"' out && grep -q '"added_by": "main"' out || fail "$(cat out err)"

it "resume: does again what is named, although the step that adds it has succeeded"
echo 1 >got
run resume -q -f p.lua --rerun "test[y]"
[ "$status" -eq 0 ] && [ "$(did)" = "y;" ] || fail "$status $(cat err)"
run resume -q -f p.lua --rerun test
[ "$status" -eq 0 ] && [ "$(did)" = "x;y;" ] || fail "$status $(cat err)"

it "resume --from: and what came behind it"
run resume -q -f p.lua --from "test[y]"
[ "$status" -eq 0 ] && [ "$(did)" = "y;end;after;" ] || fail "$status $(cat err)"

it "resume: refuses what no run had"
run resume -q -f p.lua --rerun "test[z]"
expect 2 err <<'END'
perilune: unknown step 'test[z]'; did you mean 'test[x]'?
END

it "counts what stands at the end of a run into the critical path"
run run -F p.lua
grep -q "^critical path: fetch .* -> names .* -> test\[y\] .* -> end .* -> after .* -> last " err ||
  grep -q "^critical path: fetch .* → names .* → test\[y\] .* → end .* → after .* → last " err || fail "$(cat err)"

it "counts what lists the items of a fan-out into the critical path"
given listed.toml <<'END'
[steps.first]
sh = "true"
[steps.each]
needs = ["first"]
each = { sh = "sleep 0.1; echo a; echo b" }
argv = ["true", "${item}"]
END
run run listed.toml
grep -qE "^critical path: first .* (->|→) each:each .* (->|→) each\[[ab]\] " err || fail "$(cat err)"

done_testing
