# Resume: by key and fingerprint, over chains of runs, with what the first run was told.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[params]
who = { default = "nobody" }
[steps.a]
sh = "echo a ${params.who} >>done"
[steps.b]
needs = ["a"]
sh = "echo b $* >>done; test -e fixed"
[steps.c]
needs = ["b"]
sh = "echo c >>done"
[steps.free]
sh = "echo free >>done"
END
did() { tr '\n' ';' <done; rm -f done; }

it "says what it does not find"
run resume -f p.toml
expect 2 err <<'END'
perilune: there is no run to resume
END
run resume -f p.toml 20200101-000000
expect 2 err <<'END'
perilune: there is no run 20200101-000000 to resume
END

it "goes on where it stopped, with the same parameters and arguments"
run run -q -j 1 p.toml c -p who=me -- one "two three"
[ "$status" -eq 1 ] && [ "$(did)" = "a me;b one two three;" ] || fail "$status"
run resume -q -f p.toml
[ "$(did)" = "b one two three;" ] || fail "$(cat err)"
touch fixed
run resume -q -f p.toml
[ "$status" -eq 0 ] && [ "$(did)" = "b one two three;c;" ] || fail "$status $(cat err)"
run resume -q -f p.toml
[ "$status" -eq 0 ] && [ ! -e done ] || fail "$(cat done)"

it "runs again what is named, and with --from what stands behind it"
run resume -q -f p.toml --rerun b
[ "$(did)" = "b one two three;" ] || fail "$(cat err)"
run resume -q -f p.toml last --from b
[ "$(did)" = "b one two three;c;" ] || fail "$(cat err)"

it "runs again what is not what it was"
run resume -q -f p.toml -p who=you
[ "$(did)" = "a you;" ] || fail "$(cat err)"

it "does all again by force, but no effect that was carried out"
given forced.toml <<'END'
[steps.a]
sh = "echo a >>done"
[steps.deploy]
needs = ["a"]
effect = true
sh = "echo deploy >>done"
[steps.b]
needs = ["deploy"]
sh = "echo b >>done; test -e good"
END
run run -q forced.toml
[ "$status" -eq 1 ] && [ "$(did)" = "a;deploy;b;" ] || fail "$status $(cat err)"
touch good
run resume -q -f forced.toml --force
[ "$status" -eq 0 ] && [ "$(did)" = "a;b;" ] || fail "$status $(cat err)"
run resume -q -f forced.toml --force --rerun deploy
[ "$status" -eq 0 ] && [ "$(did)" = "a;deploy;b;" ] || fail "$status $(cat err)"
rm -f good

it "resumes a run by its id"
first=$("$PERILUNE" history -f p.toml | tail -1 | cut -d' ' -f1)
rm fixed
run resume -q -f p.toml "$first"
[ "$status" -eq 1 ] && [ "$(did)" = "b one two three;" ] || fail "$status $(cat err)"
run resume -f p.toml nothing
expect 2 err <<'END'
perilune: there is no run nothing to resume
END

it "keeps values for the steps behind"
given v.lua <<'END'
local p = require("perilune.pipeline").new("v")
p:main(function(ctx)
  local v = ctx:step("v", { sh = "echo x >>counted; echo '{\"n\": 5}'", capture = "json" }).value
  local w = ctx:step("w", function() print "w" return { v.n, "list" } end).value
  ctx:step("use", { argv = { "sh", "-c", "echo " .. w[1] .. w[2] .. "; test -e fixed" } })
end)
return p
END
run run -q v.lua
[ "$status" -eq 1 ] || fail "$(cat err)"
touch fixed
run resume -q -f v.lua
[ "$status" -eq 0 ] && [ "$(wc -l <counted)" -eq 1 ] || fail "$status $(cat counted err)"
expect 0 out <<'END'
use | 5list
END

it "takes up items of a fan-out one by one"
given e.toml <<'END'
[steps.test]
each = { sh = "echo a; echo b; echo c" }
fail = "collect"
sh = "echo ${item} >>done; test ${item} != b || test -e works"
END
run run -q e.toml
[ "$status" -eq 1 ] && [ "$(wc -l <done)" -eq 3 ] || fail "$status $(cat done)"
rm done
touch works
run resume -q -f e.toml
[ "$status" -eq 0 ] && [ "$(did)" = "b;" ] || fail "$(cat err)"

it "offers the command that goes on"
rm fixed
run run -q p.toml c
command=$(grep '^resume: perilune ' err | sed 's/^resume: perilune //')
touch fixed
run $command -q
[ "$status" -eq 0 ] || fail "$command: $(cat err)"

it "runs again what a run does whatever happens"
given notice.toml <<'END'
[steps.work]
sh = "echo worked >>done; test -e ready"
[steps.before]
sh = "echo before >>done"
[steps.notice]
after = ["work", "before"]
when = "always"
sh = "echo told >>done"
END
run run -q -j1 -k notice.toml
[ "$status" -eq 1 ] || fail "$status $(cat err)"
touch ready
run resume -f notice.toml -q
[ "$status" -eq 0 ] || fail "$status $(cat err)"
[ "$(grep -c told done) $(grep -c before done)" = "2 1" ] || fail "$(cat done)"

it "offers a command that goes on from the folder where it was typed"
mkdir -p "in here"
printf '[steps.a]\nsh = "exit 3"\n' >"in here/perilune.toml"
run run -q -C "in here"
command=$(sed -n 's/^resume: perilune //p' err)
eval "run $command"
[ "$status" -eq 1 ] && grep -q "^failed: a" err || fail "$command: $(cat err)"

it "offers no resume of a pipeline that stands in no file"
echo '[steps.a]
sh = "exit 3"' | bounded run - >out 2>err
grep -q "^resume:" err && fail "$(cat err)"

it "says of a step that fans out that it would run"
given fan.toml <<'END'
[steps.list]
each = ["x", "y"]
sh = "echo ${item}"
END
run check --stale fan.toml
[ "$status" -eq 10 ] && grep -q "^list: what it fans out to" out || fail "$status $(cat out err)"

done_testing
