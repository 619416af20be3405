# `perilune run FILE.toml`: steps in the order of what they need, failures, up-to-date checks, resume.
. "$(dirname "$0")/../support/cli.sh"

it "runs what a target needs first"
given p.toml <<'END'
[steps.b]
needs = ["a"]
sh = "echo b"
[steps.a]
sh = "echo a"
END
run run p.toml -q b
expect 0 out <<'END'
a | a
b | b
END

it "names the file, line and column of an unknown key, and what was meant"
given bad.toml <<'END'
[steps.a]
neds = ["b"]
END
run check bad.toml
expect 3 err <<'END'
perilune: bad.toml:2:1: unknown key 'neds' in steps.a; did you mean 'needs'?
END

it "does so in a large file too, and takes it when it is right"
awk 'BEGIN { for (i = 1; i <= 8000; i++) printf "[steps.s%d]\nargv = [\"true\", \"number %d\"]\n", i, i }' >large.toml
run check large.toml
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
printf '[steps.bad]\nargv = ["true"]\n  inputs = ["a", 1]\n' >>large.toml
run check large.toml
expect 3 err <<'END'
perilune: large.toml:16003:3: steps.bad.inputs: a list of strings expected, got table
END

it "prints a cycle"
given cycle.toml <<'END'
[steps.a]
needs = ["b"]
[steps.b]
needs = ["a"]
END
run check cycle.toml
grep -q "a cycle: a -> b -> a" err && [ "$status" -eq 3 ] || fail "$(cat err)"

it "masks secrets and runs nothing twice that is up to date"
given s.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
sh = "echo $T; echo x > a.txt"
env = { T = "${secrets.token}" }
outputs = ["a.txt"]
END
TOKEN=abc123 run run s.toml -q
expect 0 out <<'END'
a | ***
END
TOKEN=abc123 run run s.toml -q
expect 0

it "resumes without repeating what succeeded"
given r.toml <<'END'
[steps.a]
sh = "echo once >> count"
[steps.b]
needs = ["a"]
sh = "test -e fixed"
END
run run r.toml -q
[ "$status" -eq 1 ] || fail "status $status"
touch fixed
run resume -f r.toml -q
[ "$status" -eq 0 ] || fail "$(cat err)"
[ "$(wc -l <count)" -eq 1 ] || fail "a step ran twice"

done_testing
