# require finds modules beside the script, wherever it is started from, before it looks elsewhere.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/../support/cli.sh"

mkdir -p project/lib bin elsewhere
given project/main.lua <<'END'
print(require("part").name, require("lib").name, require("lib.deep").name)
END
echo 'return { name = "part" }' >project/part.lua
echo 'return { name = "lib" }' >project/lib/init.lua
echo 'return { name = "deep" }' >project/lib/deep.lua
echo 'return { name = "the wrong part" }' >elsewhere/part.lua

it "finds modules beside the script"
run run project/main.lua
expect 0 out <<'END'
part	lib	deep
END

it "prefers them to those of the current folder"
cd elsewhere || exit 1
run run ../project/main.lua
cp out err ..
cd ..
expect 0 out <<'END'
part	lib	deep
END

it "follows a symbolic link to the script"
ln -s ../project/main.lua bin/tool
run run bin/tool
expect 0 out <<'END'
part	lib	deep
END

it "ISO-06: tells a plain Lua how such a script is run"
echo "print(pcall(assert(loadfile('$root/scripts/perilune.lua'))))" >plain.lua
run run plain.lua
expect 0 out <<'END'
false	plain.lua:1: run this with: perilune FILE
END

it "lets the top level of a module wait"
given slow.lua <<'END'
require("perilune").sleep(0.001)
return { name = "slow" }
END
echo 'print(require("slow").name)' >waits.lua
run run waits.lua
expect 0 out <<'END'
slow
END

it "says where it has looked for a module"
echo 'require "nowhere"' >missing.lua
run run missing.lua
[ "$status" -eq 1 ] || fail "status $status"
head -n 1 err | grep -q "^perilune: missing.lua:1: module 'nowhere' not found:" || fail "$(cat err)"
grep -q "no file './nowhere.lua'" err || fail "no list of files: $(cat err)"

it "shows an error in a module's text"
echo 'return return' >broken.lua
echo 'require "broken"' >breaks.lua
run run breaks.lua
[ "$status" -eq 1 ] || fail "status $status"
head -n 2 err | grep -q "broken.lua:1:" || fail "$(cat err)"

done_testing
