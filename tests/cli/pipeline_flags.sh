# How the runner is called: flags and their variables, -C, files found and named, standard input, `#!`, scripts and their words.
. "$(dirname "$0")/../support/cli.sh"

mkdir -p project/below elsewhere
given project/perilune.toml <<'END'
[pipeline]
default = ["b"]
[steps.a]
doc = "first"
sh = "echo a"
[steps.b]
needs = ["a"]
sh = "echo b"
[steps.c]
needs = ["b"]
sh = "echo c; pwd"
[steps.d]
sh = "echo d"
END
keys() { cut -d' ' -f1 out | sort -u | tr '\n' ' '; }

it "finds the file here or above, and runs the default"
for where in project project/below; do
  run run -q -C "$where"
  [ "$status" -eq 0 ] && [ "$(keys)" = "a b " ] || fail "$where: $status $(cat out err)"
done
run run -C elsewhere
expect 2 err <<'END'
perilune: no perilune.toml or perilune.lua here or above; perilune init makes one
END
run run -C nowhere
[ "$status" -eq 2 ] && grep -q "^perilune: .*nowhere" err || fail "$status $(cat err)"

it "runs steps in the folder of their file"
run run -q -f project/perilune.toml c
[ "$(tail -1 out)" = "c | $(cd project && pwd -P)" ] || fail "$(cat out)"

it "chooses steps"
chooses() {
  expected=$1
  shift
  run run -q -C project "$@"
  [ "$(keys)" = "$expected" ] || fail "$*: $(keys)"
}
chooses "a b c " c
chooses "c " --only c
chooses "c d " --only c,d
chooses "c " --only c d c
chooses "a c " --skip b c
chooses "b c " --from b c
chooses "a b " --until b
chooses "b " --from b --until b
chooses "a b c d " a b c d
PERILUNE_ONLY=d chooses "d "
for flag in --only --skip --from --until; do
  run run -C project "$flag" bb
  expect 2 err <<'END'
perilune: unknown target 'bb'
END
done
run run -C project --only c a
expect 2 err <<'END'
perilune: --only: c is no part of what a needs
END
run run -C project e
[ "$status" -eq 2 ] || fail "status $status"

it "takes flags from variables, which flags on the line beat"
PERILUNE_DIRECTORY=project PERILUNE_QUIET=1 run run d
expect 0 out <<'END'
d | d
END
PERILUNE_FILE=project/perilune.toml PERILUNE_DRY_RUN=true run run d
expect 0 out <<'END'
d: echo d
END
PERILUNE_DRY_RUN=no PERILUNE_QUIET=Yes run run -C project d
expect 0 out <<'END'
d | d
END
PERILUNE_FORCE=perhaps run run -C project d
expect 2 err <<'END'
perilune: PERILUNE_FORCE: true or false expected, got 'perhaps'
END
PERILUNE_OUTPUT=grup run run -C project d
[ "$status" -eq 2 ] && grep -q "^perilune: PERILUNE_OUTPUT: one of .* expected, got 'grup'; did you mean 'group'?$" err || fail "$status $(cat err)"
PERILUNE_RETRIES=x run run -C project
expect 2 err <<'END'
perilune: PERILUNE_RETRIES: a whole number expected, got 'x'
END
PERILUNE_TIMEOUT=soon run run -q -C project --timeout 10s d
[ "$status" -eq 0 ] || fail "$(cat err)"

it "refuses unknown flags and bad values"
run run -C project --keep-gong
expect 2 err <<'END'
perilune: run: unknown flag '--keep-gong'; did you mean '--keep-going'?
END
run run -C project --timeout soon
expect 2 err <<'END'
perilune: --timeout: a duration like 90s expected, got 'soon'
END
run run -C project --jobs
expect 2 err <<'END'
perilune: --jobs needs a value
END
run run -C project --keep-going=yes
[ "$status" -eq 2 ] || fail "status $status"
run run none.toml
expect 2 err <<'END'
perilune: cannot open none.toml: No such file or directory
END

it "takes letters behind one another, the last one with its value"
given letters.toml <<'END'
[params]
n = { default = "1" }
[steps.a]
sh = "exit 1"
[steps.b]
sh = "echo ${params.n}"
END
run run letters.toml -qkFpn=2
[ "$status" -eq 1 ] && grep -qx "b | 2" out || fail "status $status: $(cat out err)"
run run letters.toml -qz
expect 2 err <<'END'
perilune: run: unknown flag '-z'; see perilune run --help
END
run run letters.toml -q=yes
expect 2 err <<'END'
perilune: -q: takes no value
END

it "runs targets whatever files and folders are called like them"
mkdir -p around/test around/docs/old
given around/perilune.toml <<'END'
[steps.test]
sh = "echo tested"
[steps.hello]
sh = "echo hello >hello; echo made"
outputs = ["hello"]
[steps."docs/old"]
sh = "echo docs"
[steps."app.bin"]
sh = "echo app"
END
cd around
for target in test hello docs/old app.bin; do
  run run "$target"
  [ "$status" -eq 0 ] && grep -qE "^$target \| (tested|made|docs|app)$" out || fail "$target: $status $(cat out err)"
done
run run hello
[ "$status" -eq 0 ] && grep -q "^hello: cached" err || fail "$status $(cat err)"
echo 'print("a script", ...)' >plain
run run plain
expect 2 err <<'END'
perilune: unknown target 'plain'; to run the file of that name, give it as ./plain
END
run run ./plain x
expect 0 out <<'END'
a script	x
END
run run docs/new
expect 2 err <<'END'
perilune: unknown target 'docs/new'
END
run run ./docs/new
expect 2 err <<'END'
perilune: cannot open ./docs/new: No such file or directory
END
cd ..
cp around/plain bare
run run bare -q x
expect 0 out <<'END'
a script	-q	x
END
run -q run bare -q x
expect 0 out <<'END'
a script	-q	x
END
printf '[steps.a]\nsh = "echo bare"\n' >barely
run run barely -q a
expect 0 out <<'END'
a | bare
END
run check barely
[ "$status" -eq 0 ] || fail "$(cat err)"

it "hands on what stands behind --"
given args.toml <<'END'
[steps.sh]
sh = 'echo "$# $1"'
[steps.argv]
argv = ["echo", "-${run.args}-", "${run.args}"]
END
run run -q -j 1 args.toml -- "a b" c
[ "$(sort out | tr '\n' ';')" = "argv | -'a b' c- a b c;sh | 2 a b;" ] || fail "$(cat out)"

it "reads a pipeline of either kind from standard input"
printf '# toml\n[steps.a]\nsh = "echo from toml"\n' | bounded run - -q >out 2>err
status=$?
expect 0 out <<'END'
a | from toml
END
printf 'local p = require("perilune.pipeline").new("x")\np:step("a", { sh = "echo from lua" })\nreturn p\n' | bounded run -q - a >out 2>err
status=$?
expect 0 out <<'END'
a | from lua
END
echo 'print("plain", ...)' | bounded run - x y >out 2>err
status=$?
expect 0 out <<'END'
plain	x	y
END

it "is what a file may name in its first line"
printf '#!%s\n[steps.a]\nsh = "echo by its first line"\n' "$PERILUNE" >deploy
chmod +x deploy
./deploy a -q >out 2>err
status=$?
expect 0 out <<'END'
a | by its first line
END
printf '#!%s\nprint("script", arg[0]:match("[^/]*$"), ...)\n' "$PERILUNE" >script
chmod +x script
./script -k --jobs >out 2>err
status=$?
expect 0 out <<'END'
script	script	-k	--jobs
END

it "gives all words behind a script to the script, flags before it to the runner"
echo 'print(arg[0], #arg, ...) print(require("perilune").workers())' >s.lua
run run --workers 2 -k -j 3 s.lua -k --unknown x
expect 0 out <<'END'
s.lua	3	-k	--unknown	x
2
END
run s.lua -n
expect 0 out <<'END'
s.lua	1	-n
1
END
run run --unknown s.lua
[ "$status" -eq 2 ] || fail "status $status"

it "takes flags before a file without a command, and before a command what it takes behind it"
given words.lua <<'END'
print(require("perilune").workers(), ...)
END
run --workers 2 words.lua a -q
expect 0 out <<'END'
2	a	-q
END
run -q -f project/perilune.toml a
expect 0 out <<'END'
a | a
END
for words in "-q run -C project d" "-C project run -q d" "--directory=project -j 4 -q run d" "--seed 1 run -q -C project d" \
  "--workers 2 -qC project run d" "-q -f project/perilune.toml run d" "-q -C project perilune.toml d"; do
  run $words
  expect 0 out <<'END'
d | d
END
done
run -C project list
[ "$status" -eq 0 ] && grep -q "^a *first$" out || fail "$status $(cat out err)"
run -q run words.lua -q list
expect 0 out <<'END'
1	-q	list
END
run -C project list --help
[ "$status" -eq 0 ] && grep -q "^usage: perilune list" out || fail "$status $(cat out err)"

it "says what is missing behind flags"
refuses() {
  said=$1
  shift
  run "$@"
  expect 2 err <<END
perilune: $said
END
}
refuses "no command; see perilune --help" -C project
refuses "unknown command 'lits'; did you mean 'list'?" -C project lits
refuses "unknown flag '--keep-gong'; did you mean '--keep-going'?" --keep-gong run
refuses "list: unknown flag '-j'; see perilune list --help" -j 4 list
refuses "test: its flags stand behind it; see perilune test --help" -C project test
refuses "test: no path given; use: perilune test PATH..." --seed 7 test
refuses "-C needs a value" -C

it "runs targets that are called like commands"
mkdir named
given named/perilune.toml <<'END'
[steps.test]
sh = "echo tested"
[steps.run]
sh = "echo ran"
[steps.list]
sh = "echo listed"
END
run run -C named -q -j 1 test run list
[ "$status" -eq 0 ] && [ "$(wc -l <out)" -eq 3 ] || fail "$status $(cat out err)"
cd named
run run test
[ "$status" -eq 0 ] && [ "$(cat out)" = "test | tested" ] || fail "$status $(cat out err)"
run -q run run
[ "$status" -eq 0 ] && [ "$(cat out)" = "run | ran" ] || fail "$status $(cat out err)"
cd ..
cd project
run run -- -q d
[ "$status" -eq 0 ] && [ "$(cut -d' ' -f1 out | sort -u | tr '\n' ' ')" = "a b " ] || fail "$status $(cat out err)"
cd ..

it "reads flags and targets behind a pipeline in Lua"
mkdir lib
echo 'return { word = "from a module beside it" }' >lib/mine.lua
printf 'local p = require("perilune.pipeline").new("x")\np:step("a", { argv = { "echo", require("mine").word } })\np:step("b", { sh = "echo b" })\nreturn p\n' >lib/p.lua
for words in "lib/p.lua -q a" "-q lib/p.lua a" "-q -f lib/p.lua a"; do
  run run $words
  expect 0 out <<'END'
a | from a module beside it
END
done

it "says what is wrong with a file with 3"
echo '[steps.a' >broken.toml
run run broken.toml
[ "$status" -eq 3 ] && grep -q '^perilune: broken.toml:1:' err || fail "$status $(cat err)"
printf 'local p = require("perilune.pipeline").new("x")\nthis is no lua\n' >broken.lua
run run broken.lua
[ "$status" -eq 3 ] && grep -q '^perilune: broken.lua:2:' err || fail "$status $(cat err)"
echo 'return 5' >five.lua
run list -f five.lua
expect 3 err <<'END'
perilune: the file returns no pipeline but number
END
printf '[pipeline]\ndefault = "x"\n[steps.a]\nneeds = ["b"]\npool = "n"\nsh = "true"\nargv = ["true"]\n' >wrong.toml
run check wrong.toml
[ "$status" -eq 3 ] && grep -q "wrong.toml:3:.*only one of argv, sh and lua" err || fail "$(cat err)"
sed -i '/^argv/d' wrong.toml
run check wrong.toml
[ "$status" -eq 3 ] && grep -q "wrong.toml:2:1: pipeline.default: there is no step 'x'" err &&
  grep -q "step 'a' needs 'b', which does not exist" err && grep -q "there is no pool 'n'" err || fail "$(cat err)"

done_testing
