# The environment of steps: the step, --env-file, the program's own, [pipeline] env, dotenv, in that order.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[pipeline]
dotenv = [".env", "more.env"]
env = { B = "pipeline", C = "pipeline", D = "pipeline", E = "pipeline" }
[steps.show]
sh = 'echo "$A $B $C $D $E"'
env = { E = "step" }
END
given .env <<'END'
# a comment
A=dotenv
export B="dot env"
C=dotenv
END
given more.env <<'END'
A='more # of it'   # the later file counts
END
given over.env <<'END'
D=file
E=file
END

it "has a fixed order"
C=own D=own E=own run run p.toml -q --env-file over.env
expect 0 out <<'END'
show | more # of it pipeline own file step
END

it "does without a dotenv file, but not without a file that was asked for"
rm more.env
run run p.toml -q
expect 0 out <<'END'
show | dotenv pipeline pipeline pipeline step
END
run run p.toml --env-file none.env
expect 2 err <<'END'
perilune: cannot read none.env
END

it "says so where a dotenv file, or the file of a secret, cannot be read"
mkdir -p folder
printf '[pipeline]\ndotenv = ["folder"]\n[steps.a]\nsh = "true"\n' >unreadable.toml
run run unreadable.toml
[ "$status" -eq 2 ] && grep -q "^perilune: cannot read .*/folder: Is a directory$" err || fail "$status $(cat err)"
printf '[secrets]\nkey = { file = "${env.WHERE}" }\n[steps.a]\nsh = "echo got ${secrets.key}"\n' >unreadable.toml
WHERE=folder run run unreadable.toml
[ "$status" -eq 2 ] && grep -q "^perilune: cannot read .*/folder: Is a directory$" err || fail "$status $(cat err)"
echo sesame >key
WHERE=key run run -q unreadable.toml
expect 0 out <<'END'
a | got ***
END

it "names the line of a dotenv file that is none"
echo 'what is this' >>.env
run run p.toml
[ "$status" -eq 3 ] && grep -q '\.env:5: NAME=value expected$' err || fail "$status $(cat err)"

done_testing
