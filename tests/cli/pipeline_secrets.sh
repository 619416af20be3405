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

done_testing
