# `perilune completion`: what could stand at the cursor, in the real shells where they are installed.
. "$(dirname "$0")/../support/cli.sh"

PATH=$(dirname "$PERILUNE"):$PATH
given perilune.toml <<'EOF'
[params]
channel = { type = "string", choices = ["stable", "beta"], default = "beta", doc = "where to" }
fast = { type = "boolean", default = false }
[pools]
net = 2
[steps.build]
doc = "Build it"
matrix = { arch = ["a", "b"] }
sh = "echo"
[steps.publish]
doc = "Publish: it"
sh = "echo"
pool = "net"
EOF

candidates() {
  want=$1
  shift
  run completion candidates "$@"
  [ "$status" -eq 0 ] || fail "status $status after '$*'"
  got=$(cut -f 1 out | tr '\n' ' ')
  [ "$got" = "$want" ] || fail "after '$*': '$got', expected '$want'"
}

it "completes commands, flags and their values, steps, parameters, pools, runs"
candidates "watch why :file " w
candidates "--param= --params-file= --pool= " run --p
candidates "build[arch=a] build[arch=b] build :file " run b
candidates "publish " show p
candidates "publish " run --skip p
candidates "channel= fast= " run -p ""
candidates "channel=stable " run -p channel=s
candidates "fast=true fast=false " run --param fast=
candidates "net= " run --pool n
candidates "--output=keep-order " run --output=k
candidates "dot " graph --format d
candidates "bash zsh fish " completion ""
candidates ":file " run -f ""
candidates ":folder " run -C ""
candidates "" list nothing

it "says what they are for"
run completion candidates show p
expect 0 out <<'EOF'
publish	Publish: it
EOF

it "takes the pipeline that the words before the cursor name, and keeps quiet where there is none"
mkdir other
printf '[steps.away]\nsh = "echo"\n' >other/perilune.toml
candidates "away " why -C other ""
candidates "away " why --file other/perilune.toml ""
candidates "" why --file missing.toml ""
printf 'broken [' >bad.toml
candidates "" why -f bad.toml ""

it "completes behind flags that stand before the command"
candidates "watch why :file " -C other w
candidates "away " -C other why ""
candidates "away " --file=other/perilune.toml -v show a
candidates "publish " -j 4 run --skip p
candidates ":folder " -C ""
candidates "--param= --params-file= --pool= " --p

it "completes runs that there were"
run run -q publish
candidates "last " logs l
id=$(perilune history | sed -n '2s, .*,,p')
candidates "$id " logs 2

in_bash() {
  want=$1
  shift
  got=$(bash --norc -c 'source <(perilune completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _perilune 2>/dev/null; echo "${COMPREPLY[*]}"' bash "$@")
  [ "$got" = "$want" ] || fail "bash: after '$*': '$got', expected '$want'"
}

it "works in bash, which cuts words at an equals sign"
in_bash "watch why" perilune w
in_bash "publish" perilune run pub
in_bash "stable" perilune run -p channel = s
in_bash "stable beta" perilune run -p channel =
in_bash "group" perilune run --output = g
in_bash "perilune.toml" perilune check perilune.t

if command -v fish >/dev/null; then
  it "works in fish"
  export HOME="$PWD"
  run_fish() { fish --no-config -c "perilune completion fish | source; complete -C '$1'" | grep -v '^$' | sort | tr '\t\n' '  '; }
  [ "$(run_fish 'perilune show p')" = "publish Publish: it " ] || fail "fish: $(run_fish 'perilune show p')"
  [ "$(run_fish 'perilune run -p channel=')" = "channel=beta channel=stable " ] || fail "fish: $(run_fish 'perilune run -p channel=')"
  [ "$(run_fish 'perilune check perilune.t')" = "perilune.toml " ] || fail "fish: $(run_fish 'perilune check perilune.t')"
fi

if command -v zsh >/dev/null; then
  it "works in zsh, typed at its prompt"
  given typed.zsh <<'EOF'
zmodload zsh/zpty
zpty z "TERM=dumb zsh -f -i"
expect() { zpty -r z seen "*$1*" || { print -r -- "no $1"; exit 1; } }
zpty -w z "PS1='ready> '; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -d $PWD/dump; source <(perilune completion zsh); echo set-up"
expect $'\nset-up'
zpty -w -n z $'perilune show -p chan\t'
expect 'channel='
zpty -w -n z $'st\t'
expect 'able'
zpty -w -n z $' pub\t'
expect 'lish'
zpty -w -n z $'\n'
expect '"key": "publish"'
EOF
  zsh -f typed.zsh >said 2>&1 || fail "zsh: $(cat said)"
fi

done_testing
