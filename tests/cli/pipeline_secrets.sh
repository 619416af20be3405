# Secrets are masked wherever they could be read: output, logs, messages, show, the database, and what a later resume is told.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[params]
note = {}
[secrets]
token = { env = "TOKEN" }
key   = { file = "key" }
[steps.print]
sh = '''
echo "token $TOKEN" "$1"; echo "key $KEY" >&2
printf 'tok%s' en; printf ' %s' "$(echo $TOKEN | cut -c 1-4)"; sleep 0.5; echo "$TOKEN" | cut -c 5-
echo x >made
'''
env = { KEY = "${secrets.key}" }
outputs = ["made"]
[steps.fail]
after = ["print"]
argv = ["sh", "-c", "exit 3", "${secrets.token}", "${params.note}"]
END
printf 'first line\nsecond line\n' >key
export TOKEN=sw0rdfish

leaks() { grep -rl -e "$TOKEN" -e "first line" -e "second line" out err .perilune; }

it "masks them in output, logs, failures and the database"
run run p.toml -k -p note="the $TOKEN" -- "$TOKEN"
[ "$status" -eq 1 ] || fail "status $status"
[ -z "$(leaks)" ] || fail "in $(leaks): $(cat out err)"
grep -qx 'print | token \*\*\* \*\*\*' out || fail "$(cat out)"
grep -qx 'print | key \*\*\*' err || fail "$(cat err)"

it "masks them in show, list and why"
run show -f p.toml fail
[ "$status" -eq 0 ] && grep -q '\*\*\*' out && [ -z "$(leaks)" ] || fail "$(cat out err)"

it "does not keep a parameter that holds one, and asks for it at a resume"
run resume -f p.toml
expect 2 err <<'END'
perilune: parameter 'note' held a secret and was not kept; give -p note=VALUE
END
run resume -f p.toml -p note=other
[ "$status" -eq 1 ] && [ -z "$(leaks)" ] || fail "$status $(cat out err)"

it "does not take a new secret for a change"
TOKEN=another run run p.toml -k -p note=x -- another
grep -q '^print: cached' err || fail "$(cat err)"

it "asks for one that is required"
given required.toml <<'END'
[secrets]
token = { env = "NO_SUCH", required = true }
[steps.a]
argv = ["true"]
END
run run required.toml
expect 2 err <<'END'
perilune: secret 'token' is required; set NO_SUCH
END

it "masks one of several lines, whole and each line of more than three bytes, wherever that shows"
mkdir lines
printf -- '-----BEGIN-----\r\nfirst part\n  second part\nxy\n}\n-----END-----\n' >lines/key
given lines/perilune.toml <<'END'
[params]
note = { default = "none" }
[secrets]
key = { file = "key" }
[steps.words]
doc = "prints ${secrets.key}"
argv = ["printf", "%s\\n", "${secrets.key}"]
[steps.pieces]
sh = 'printf "%s" "$K" | head -c 24; sleep 0.4; printf "%s" "$K" | tail -c +25; echo "$K" | sed "s/^ *//"; set -x; : "$K"'
env = { K = "${secrets.key}" }
[steps.captures]
sh = 'echo "$K"'
env = { K = "${secrets.key}" }
capture = "lines"
[steps.value]
needs = ["captures"]
sh = 'echo "${steps.captures.stdout}"; exit 1'
[steps.missing]
argv = ["/nowhere/${secrets.key}"]
[steps.elsewhere]
cwd = "${secrets.key}"
sh = "true"
[steps.unmade]
outputs = ["out-${secrets.key}"]
sh = "true"
[steps.lua]
lua = "f.lua:f"
[steps.items]
each = { sh = 'echo "$K"' }
env = { K = "${secrets.key}" }
sh = "echo ${item}"
END
cat >lines/f.lua <<'END'
function f(ctx)
  print(ctx.secrets.key)
  io.stderr:write(ctx.secrets.key .. "\n")
  require("perilune").log.info("key " .. ctx.secrets.key, { key = ctx.secrets.key })
  error("no " .. ctx.secrets.key)
end
END
leaks_lines() { grep -rl -e BEGIN -e END -e "first part" -e "second part" out err shown lines/.perilune lines/*.html lines/*.xml lines/*.md lines/*.json; }
: >shown
for mode in prefix group json; do
  run run -C lines -k -v --output "$mode" -p note="$(cat lines/key)" --report html=r.html --report junit=r.xml --report markdown=r.md --trace t.json
  [ "$status" -eq 1 ] && [ -z "$(leaks_lines)" ] || fail "$mode: $status $(leaks_lines) $(cat out err)"
done
run run -C lines -q words
grep -qx 'words | xy' out && grep -qx 'words | }' out && [ "$(grep -cx 'words | \*\*\*' out)" -ge 3 ] || fail "$(cat out)"
for command in "show words" "show elsewhere" "show unmade" list "list --json" history "history --json" "logs last" "report last" graph "why unmade" \
  "check --stale" "check --json" "run -n" "run -n --json"; do
  bounded $command -C lines >>shown 2>&1
done
[ -z "$(leaks_lines)" ] || fail "in $(leaks_lines): $(cat shown)"
run run -C lines items
grep -qx "  each: the list makes 'items\[\*\*\*\]' twice" err || fail "$(cat err)"

it "masks them in the words that the system shows of the process"
given title.toml <<'END'
[params]
note = {}
[secrets]
token = { env = "TOKEN" }
[steps.a]
sh = "tr '\\0' '\\n' </proc/$PPID/cmdline >shown; echo ${params.note} >kept"
END
for secret in sw0rdfish xy; do
  TOKEN=$secret run run title.toml -q -p note="the $secret" a -- "$secret" more
  [ "$status" -eq 0 ] || fail "$status $(cat err)"
  [ "$(cat kept)" = "the $secret" ] || fail "kept $(cat kept)"
  [ "$(head -6 shown | tail -5 | tr '\n' ';')" = "run;title.toml;-q;-p;note=the ***;" ] || fail "$(cat shown)"
  grep -q "$secret" shown && fail "$(cat shown)"
done

it "masks one that shells and JSON have to quote, and nothing that only looks like it"
given quoted.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
argv = ["printf", "%s\\n", "${secrets.token}", "{\"token\": \"${secrets.token}\"}"]
env  = { OF_A = "${secrets.token}" }
END
rm -rf .perilune
export TOKEN='p"w\q o'"'"'er<&>'
run run quoted.toml --report html=r.html --report trace=r.trace -- "$TOKEN"
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
run run quoted.toml --output json
mv out r.json
run run -n quoted.toml
mv out r.plan
run show -f quoted.toml a
grep -q '"OF_A": "\*\*\*"' out || fail "$(cat out)"
[ -z "$(grep -rl -e '\\q o' -e 'er<&>' -e 'er&lt;' out err r.* .perilune)" ] || fail "in $(grep -rl -e '\\q o' -e 'er<&>' out err r.* .perilune)"
TOKEN=e run run quoted.toml -q a
TOKEN=e run resume -f quoted.toml
[ "$status" -eq 0 ] || fail "a letter is the secret: $(cat err)"

it "masks them in what Lua steps log"
given logs.lua <<'END'
return { tell = function(ctx) require("perilune").log.info("the token " .. ctx.secrets.token, { token = ctx.secrets.token }) end }
END
given logs.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
lua = "logs.lua:tell"
END
for format in text json; do
  run run logs.toml --log-format $format
  [ "$status" -eq 0 ] && grep "the token \*\*\*" err | grep -qv '^a' || fail "$format: $(cat out err)"
  grep -q 'er<&>' out err && fail "$format: $(cat out err)"
done

it "... in the texts of the file, which may name the variable"
given named.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
doc = "with ${env.TOKEN}"
argv = ["true"]
END
for words in "list" "list --json" "graph --format json" "graph --format html" "show a"; do
  TOKEN=sw0rdfish run $words -f named.toml
  [ "$status" -eq 0 ] && ! grep -q sw0rdfish out && { [ "$words" = "graph --format html" ] || grep -q 'with \*\*\*' out; } || fail "$words: $(cat out err)"
done

done_testing
