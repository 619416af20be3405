# What is up to date and why: content, not time; every reason named; outputs are trusted only where they are what was made.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[pipeline]
env = { MODE = "fast" }
[params]
level = { default = "1" }
[steps.make]
sh = 'cat in/*.txt >out.txt; echo "$LEVEL ${FROM_OUTSIDE:-}" >>out.txt; echo run >>runs'
inputs = ["in/*.txt"]
outputs = ["out.txt", "sub/dir"]
env = { LEVEL = "${params.level}" }
[steps.use]
needs = ["make"]
sh = 'cat out.txt >used.txt'
inputs = ["out.txt"]
outputs = ["used.txt"]
END
sed -i 's/, "sub\/dir"//' p.toml
mkdir in
echo a >in/a.txt
echo b >in/b.txt

why() {
  run why -f p.toml "$@"
}
up_to_date() {
  why make
  [ "$status" -eq 0 ] && grep -q "^make: up to date" out || fail "$1: $status $(cat out err)"
}
would_run() {
  why make
  [ "$status" -eq 10 ] && grep -qx "make: would run: $1" out || fail "$1: $status $(cat out err)"
  run run -q p.toml
  [ "$status" -eq 0 ] || fail "$(cat err)"
  up_to_date "after: $1"
}

it "runs what has not run"
would_run "it has not succeeded yet"
run run p.toml
grep -q "^make: cached (up to date since run" err && grep -q "^use: cached" err || fail "$(cat err)"
[ "$(wc -l <runs)" -eq 1 ] || fail "$(cat runs)"

it "does not mind times"
touch in/a.txt out.txt
up_to_date "touched"

it "names inputs that changed, came and went"
echo c >in/a.txt
would_run "input in/a.txt changed"
echo d >in/d.txt
would_run "input in/d.txt is new"
rm in/d.txt
would_run "input in/d.txt is gone"
echo 1 >in/a.txt; echo 2 >in/b.txt
would_run "input in/a.txt changed, input in/b.txt changed"
chmod +x in/a.txt
would_run "input in/a.txt changed"

it "names the command, parameters and variables that changed"
sed -i 's/echo run/echo  run/' p.toml
would_run "the command changed"
sed -i 's/default = "1"/default = "2"/' p.toml
would_run "params.level changed"
export FROM_OUTSIDE=x
would_run '$FROM_OUTSIDE is new'
sed -i 's/"fast"/"slow"/' p.toml
would_run '$MODE changed'

it "does not trust outputs that are not what was made"
echo spoilt >out.txt
would_run "output out.txt changed"
rm out.txt
would_run "output out.txt is missing"
chmod +x out.txt
would_run "output out.txt changed"

it "does not trust what a failed attempt has left"
sed -i 's/echo  run/false; echo  run/' p.toml
run run -q p.toml
[ "$status" -eq 1 ] || fail "status $status"
sed -i 's/false; echo  run/echo  run/' p.toml
why make
[ "$status" -eq 10 ] && grep -q "it has not succeeded yet" out || fail "$(cat out)"
run run -q p.toml

it "runs again with --force, --no-cache and without outputs"
rm -f runs
run run -q -F p.toml
run run -q --no-cache p.toml
[ "$(wc -l <runs)" -eq 2 ] || fail "$(cat runs)"

it "fails a step that has not made its outputs"
given none.toml <<'END'
[steps.a]
argv = ["true"]
outputs = ["nothing"]
END
run run -q none.toml
[ "$status" -eq 1 ] && grep -q "its output nothing is not there" err || fail "$(cat err)"

it "hashes folders, and the source of Lua steps"
given l.toml <<'END'
[steps.a]
lua = "l.lua:make"
inputs = ["tree"]
outputs = ["l.out"]
capture = "text"
[steps.b]
needs = ["a"]
argv = ["echo", "got ${steps.a.value}"]
END
sed -i '/capture/d' l.toml
given l.lua <<'END'
function make(ctx)
  local file <close> = io.open("l.out", "w")
  file:write("made")
  return "value"
end
END
mkdir -p tree/deep
echo x >tree/deep/file
run run -q l.toml
run run l.toml
grep -q "^a: cached" err && grep -qx "b | got value" out || fail "a cached value: $(cat out err)"
echo y >tree/deep/file
run why -f l.toml a
grep -q "input tree changed" out || fail "$(cat out)"
run run -q l.toml
echo "-- more" >>l.lua
run why -f l.toml a
grep -q "the command changed" out || fail "$(cat out)"

it "looks without writing"
find .perilune | sort >before
chmod -R a-w .perilune
run why -f p.toml make && run list -f p.toml && run check -f p.toml && run run -n -f p.toml && run history -f p.toml
find .perilune | sort >after
chmod -R u+w .perilune
same before after "files"
rm -rf .perilune
run why -f p.toml make && run check --stale -f p.toml && run run -n -f p.toml
[ ! -e .perilune ] || fail "it wrote"

it "takes inputs by name, by pattern and from anywhere"
mkdir -p apart/kinds outside
echo x >outside/one; echo y >apart/kinds/named; echo z >apart/kinds/match.c
cat >apart/perilune.toml <<END
[steps.all]
argv = ["touch", "made"]
inputs = ["kinds/named", "kinds/*.c", "$PWD/outside/one", "$PWD/apart/kinds/named", "kinds/*.none", "absent"]
outputs = ["made"]
END
run run -q -C apart
for change in "kinds/named" "kinds/match.c" "$PWD/outside/one"; do
  run why all -C apart
  [ "$status" -eq 0 ] || fail "before $change: $(cat out)"
  case $change in /*) echo more >>"$change" ;; *) echo more >>"apart/$change" ;; esac
  run why all -C apart
  [ "$(cat out)" = "all: would run: input $change changed" ] || fail "$(cat out err)"
  run run -q -C apart
done
touch apart/absent apart/kinds/new.none
run why all -C apart
[ "$(cat out)" = "all: would run: input absent changed, input kinds/new.none is new, input kinds/*.none is gone" ] || fail "$(cat out err)"

it "runs what is stale and what stands behind it, and nothing else"
mkdir mixed
awk 'BEGIN { for (i = 0; i < 200; i++) { from = int(i / 20) "." i % 20; to = int(i / 20) "." i % 20 + 1
  printf "[steps.s%d]\nsh = \"cat %s >%s\"\ninputs = [\"%s\"]\noutputs = [\"%s\"]\n", i, from, to, from, to
  if (i % 20) printf "needs = [\"s%d\"]\n", i - 1 } }' >mixed/perilune.toml
for i in 0 1 2 3 4 5 6 7 8 9; do echo "$i" >"mixed/$i.0"; done
run run -q -C mixed
run run -C mixed
grep -q "^success: 200 cached" err || fail "$(tail -3 err)"
echo new >mixed/2.0; echo new >mixed/7.15
run run -C mixed
[ "$(grep -c ': done' err)" -eq 21 ] && [ "$(cat mixed/2.20 mixed/7.15 mixed/7.20)" = "new
7
7" ] || fail "$(grep ': done' err)"
run run -C mixed
grep -q "^success: 200 cached" err || fail "$(tail -3 err)"

it "warns of two steps of a run that make the same file, not of alternatives"
given makers.toml <<'END'
[steps.a]
outputs = ["made"]
sh = "echo a >made"
[steps.b]
needs = ["a"]
outputs = ["./made"]
sh = "echo b >made"
[steps.c]
needs = ["b"]
outputs = ["made"]
sh = "echo c >made"
[steps.alone]
sh = "echo alone"
[steps.debug]
if = "env.DEBUG"
outputs = ["app"]
sh = "echo debug >app"
[steps.release]
if = "not env.DEBUG"
outputs = ["app"]
sh = "echo release >app"
[steps.strip]
after = ["debug", "release"]
if = "env.STRIP"
outputs = ["app"]
sh = "echo stripped >app"
[steps.patterns]
matrix = { n = [1, 2] }
outputs = ["objects/*.o"]
sh = "echo ${matrix.n} >objects/${matrix.n}.o"
END
both="makers.toml:4:8: warning: steps 'a' and 'b' both make made: what is written last counts, and the other is never up to date"
run run makers.toml b
[ "$status" -eq 0 ] && [ "$(grep -c warning err)" -eq 1 ] && grep -qxF "$both" err || fail "$(cat err)"
run run makers.toml a alone debug release patterns
[ "$status" -eq 0 ] && ! grep -q warning err || fail "$(cat err)"
STRIP=1 run run makers.toml debug release strip
grep -q "^makers.toml:22:8: warning: steps 'release' and 'strip' both make app:" err || fail "$(cat err)"
run run makers.toml --output json b
grep -q '"event":"warning"' out || fail "$(cat out)"
run check makers.toml
[ "$status" -eq 0 ] && [ "$(cat out)" = "makers.toml: 10 steps, 1 warning" ] && [ "$(cat err)" = "perilune: $both" ] || fail "$status $(cat out err)"
run check --json makers.toml
[ "$status" -eq 0 ] && tr -d ' \n' <out | grep -q '"warnings":\[{"column":8,"file":"makers.toml","line":4,' || fail "$(cat out)"
run run -n makers.toml b
[ "$(cat err)" = "perilune: $both" ] || fail "$(cat err)"
run run -n makers.toml a alone
[ ! -s err ] || fail "$(cat err)"

it "believes nothing that was read before a step has run"
mkdir ahead
awk 'BEGIN { for (i = 0; i < 300; i++) printf "[steps.s%d]\nargv = [\"touch\", \"o%d\"]\noutputs = [\"o%d\"]\n", i, i, i
  print "[steps.change]\nsh = \"cp from to; touch changed\"\ninputs = [\"from\"]\noutputs = [\"changed\"]"
  print "[steps.behind]\nneeds = [\"change\"]\nsh = \"cat to >last\"\ninputs = [\"to\"]\noutputs = [\"last\"]" }' >ahead/perilune.toml
echo 1 >ahead/from
run run -q -C ahead
run run -C ahead
grep -q "^success: 302 cached" err || fail "$(tail -3 err)"
echo 2 >ahead/from
run run -C ahead
grep -q "^success: 2 succeeded, 300 cached" err && [ "$(cat ahead/last)" = 2 ] || fail "$(tail -3 err)"
rm ahead/o7; echo other >ahead/o8; head -c 400000 /dev/zero >ahead/o9
run run -C ahead
grep -q "^success: 3 succeeded, 299 cached" err && [ ! -s ahead/o7 ] || fail "$(tail -3 err)"

done_testing
