# Parameters of a pipeline: types, choices, patterns, where values come from, and what is said of wrong ones.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[params]
version = { type = "string", pattern = '^\d+\.\d+(\.\d+)?(-(alpha|beta))?$', default = "1.0" }
count   = { type = "integer", default = 3 }
ratio   = { type = "number", default = 0.5 }
dry     = { type = "boolean", default = false }
channel = { choices = ["stable", "beta"], default = "beta", doc = "where to" }
[steps.show]
argv = ["echo", "${params.version}", "${params.count}", "${params.ratio}", "${params.dry}", "${params.channel}"]
END

it "has defaults, and takes -p last of all"
run run p.toml -q
expect 0 out <<'END'
show | 1.0 3 0.5 false beta
END
given values.toml <<'END'
count = 5
channel = "stable"
END
given values.json <<'END'
{"count": 6}
END
PERILUNE_PARAM_COUNT=4 PERILUNE_PARAM_RATIO=2 run run p.toml -q --params-file values.toml -p version=2.0.1-alpha -p dry=yes
expect 0 out <<'END'
show | 2.0.1-alpha 5 2 true stable
END
run run p.toml -q --params-file=values.json -p count=7
expect 0 out <<'END'
show | 1.0 7 0.5 false beta
END

it "refuses values of another type, choice or shape with 2"
while read -r given expected; do
  run run p.toml -p "$given"
  echo "perilune: $expected" | expect 2 err
done <<'END'
count=many parameter 'count': integer expected, got 'many'
count=1.5 parameter 'count': integer expected, got '1.5'
ratio=x parameter 'ratio': number expected, got 'x'
dry=maybe parameter 'dry': boolean expected, got 'maybe'
channel=betta parameter 'channel': one of stable, beta expected, got 'betta'; did you mean 'beta'?
version=v1 parameter 'version': 'v1' does not match ^\d+\.\d+(\.\d+)?(-(alpha|beta))?$
versoin=1.0 unknown parameter 'versoin'; did you mean 'version'?
version -p NAME=VALUE expected, got 'version'
END

it "finds what is wrong with a description in the file"
given bad.toml <<'END'
[params]
a = { type = "strnig" }
b = { pattern = '(' }
c = { type = "integer", default = "x" }
[steps.s]
argv = ["echo", "${params.d}"]
END
run check bad.toml
[ "$status" -eq 3 ] || fail "status $status"
grep -q "^perilune: bad.toml:2:7: params.a.type: one of .*; did you mean 'string'?$" err || fail "$(cat err)"
grep -q "^perilune: bad.toml:3:7: params.b.pattern: no regular expression: " err || fail "$(cat err)"
grep -q "^perilune: bad.toml:4:25: params.c.default: parameter 'c': integer expected, got 'x'$" err || fail "$(cat err)"

it "finds templates of parameters that do not exist"
given unknown.toml <<'END'
[params]
version = {}
[steps.s]
argv = ["echo", "${params.vresion}"]
END
run check unknown.toml
expect 3 err <<'END'
perilune: unknown.toml:4:1: steps.s.argv: there is no params.vresion; did you mean 'version'?
END

it "leaves what is no name of its own to the shell"
given shell.toml <<'END'
[steps.s]
sh = 'X=1; echo "${X} ${Y:-none} ${params:-p}"'
END
run run shell.toml -q
expect 0 out <<'END'
s | 1 none p
END

it "why: tells which parameter it would have to know"
given why.toml <<'END'
[params]
version = { required = true }
[steps.a]
sh = "echo ${params.version} >made"
outputs = ["made"]
END
run run -q why.toml -p version=1
run why -f why.toml a
expect 10 out <<'END'
a: would run: parameter 'version' is required; give -p version=VALUE to know more
END
run why -f why.toml a -p version=1
[ "$status" -eq 0 ] || fail "$status $(cat out err)"

done_testing
