# `perilune watch`: runs again when the content of an input has changed, ends the pass under way first, and ends cleanly.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'EOF'
[steps.copy]
sh = "cat in.txt; cp in.txt out.txt"
inputs = ["in.txt"]
outputs = ["out.txt"]
EOF

# The program says on standard error when it waits; both go into the pipe that `await` reads.
watch() {
  rm -f pipe
  mkfifo pipe
  : >out
  "$PERILUNE" watch "$@" >pipe 2>&1 &
  pid=$!
  exec 3<pipe
  kill_when_late "$pid"
}

it "runs again when an input has changed, and ends with an interrupt"
echo one >in.txt
watch -f p.toml -q copy
await "copy | one"
await "watch: waiting for changes"
echo two >in.txt
await "watch: in.txt changed"
await "copy | two"
await "watch: waiting for changes"
[ "$(cat out.txt)" = two ] || fail "out.txt: $(cat out.txt)"
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

it "takes neither a touched input nor an output for a change"
watch -f p.toml -q copy
await "watch: waiting for changes"
touch in.txt
echo other >out.txt
cp in.txt copied && mv copied in.txt
echo three >in.txt
await "watch: in.txt changed"
await "copy | three"
send TERM
finish
[ "$status" -eq 143 ] || fail "status $status"
[ "$(grep -c 'changed' out)" -eq 1 ] || fail "$(cat out)"

it "ends the pass under way, and its processes, before the next one"
given slow.toml <<'EOF'
[steps.slow]
sh = '''
trap 'echo ended; exit 1' TERM
echo $$ >pid
content=$(cat in.txt)
echo started $content
if [ "$content" = one ]; then sleep 100 & wait; fi
'''
inputs = ["in.txt"]
EOF
echo one >in.txt
watch -f slow.toml -q
await "slow | started one"
first=$(cat pid)
echo two >in.txt
await "watch: in.txt changed"
await "slow | ended"
await "slow | started two"
kill -0 "$first" 2>/dev/null && fail "process $first lives"
await "watch: waiting for changes"
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

it "an interrupt ends a pass under way with its processes"
echo one >in.txt
watch -f slow.toml -q
await "slow | started one"
first=$(cat pid)
send INT
finish
[ "$status" -eq 130 ] || fail "status $status: $(cat out)"
grep -q "slow | ended" out || fail "$(cat out)"
kill -0 "$first" 2>/dev/null && fail "process $first lives"

it "reads the pipeline again when its file has changed, and waits where it is invalid"
given change.toml <<'EOF'
[steps.a]
sh = "echo first"
EOF
watch -f change.toml -q
await "a | first"
await "watch: waiting for changes"
printf '[steps.a]\nsho = "echo second"\n' >change.toml
await "perilune: change.toml:2:1: unknown key 'sho' in steps.a; did you mean 'sh'?"
printf '[steps.a]\nsh = "echo second"\n' >change.toml
await "watch: change.toml changed"
await "a | second"
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

it "reads the modules of a pipeline and of its Lua steps again when they have changed"
mkdir -p with/steps
given with/perilune.lua <<'EOF'
local word = require "word"
local p = require("perilune.pipeline").new("with")
p:step("say", { sh = "echo " .. word })
p:step("tell", { needs = { "say" }, lua = "steps/tell.lua:tell" })
return p
EOF
echo 'return "one"' >with/word.lua
echo 'local told = require "told" return { tell = function() print(told) end }' >with/steps/tell.lua
echo 'return "uno"' >with/steps/told.lua
watch -f with/perilune.lua -q
await "say | one"
await "tell | uno"
await "watch: waiting for changes"
echo 'return "two"' >with/word.lua
await "watch: word.lua changed"
await "say | two"
await "tell | uno"
await "watch: waiting for changes"
echo 'return "due"' >with/steps/told.lua
await "watch: steps/told.lua changed"
await "tell | due"
await "watch: waiting for changes"
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

# A pipeline that says that it is being read, and waits for a file while it is.
slow_to_read() {
  cat >slow.lua <<EOF
local peri = require "perilune"
local p = require("perilune.pipeline").new("slow")
print("reading $1")
for _ = 1, 2000 do if peri.fs.exists("go") then break end peri.sleep(0.01) end
p:main(function(ctx) ctx:step("a", { sh = "echo $1" }) end)
return p
EOF
}

it "takes what changes while the file is read for a change"
touch go
slow_to_read one
watch -f slow.lua -q
await "a | one"
await "watch: waiting for changes"
rm go
slow_to_read two
await "reading two"
slow_to_read three
touch go
await "a | three"
send INT
finish
[ "$status" -eq 130 ] || fail "status $status"

it "sees files that come later, in folders that come later"
given late.toml <<'EOF'
[steps.list]
sh = "ls src 2>/dev/null | tr '\n' ' '; echo"
inputs = ["src/**/*.c"]
EOF
watch -f late.toml -q
await "watch: waiting for changes"
mkdir -p src
echo a >src/a.c
await "watch: src/a.c is new"
await "list | a.c "
echo no >src/notes.txt
echo b >src/b.c
await "watch: src/b.c is new"
await "list | a.c b.c notes.txt "
await "watch: waiting for changes"
rm src/a.c
await "watch: src/a.c is gone"
send INT
finish

it "watches the inputs of steps that were added while the pass ran"
given each.toml <<'EOF'
[steps.count]
each = { items = ["x", "y"] }
sh = "wc -c < ${item}.txt"
inputs = ["${item}.txt"]
EOF
echo 1 >x.txt
echo 1 >y.txt
watch -f each.toml -q
await "watch: waiting for changes"
echo 22 >y.txt
await "watch: y.txt changed"
await "watch: waiting for changes"
send INT
finish

it "refuses an unknown target and standard input"
run watch -f p.toml nothing
expect 2 err <<'EOF'
perilune: unknown target 'nothing'
EOF
run watch - </dev/null
expect 2 err <<'EOF'
perilune: watch: a file expected, standard input cannot be watched
EOF

done_testing
