# A file that cannot be read (2) or is no script (3): one line, no traceback.
. "$(dirname "$0")/../support/cli.sh"

it "names a missing file"
run run missing.lua
expect 2 err <<'END'
perilune: cannot open missing.lua: No such file or directory
END

it "names a directory"
mkdir folder
run run ./folder
expect 2 err <<'END'
perilune: cannot run ./folder: it is a directory; give a .lua file
END

it "names a file that cannot be read"
run run /proc/self/mem
expect 2 err <<'END'
perilune: cannot read /proc/self/mem: Input/output error
END

if [ "$(id -u)" -ne 0 ]; then
  it "names a file without permission"
  : >secret.lua
  chmod 000 secret.lua
  run run secret.lua
  expect 2 err <<'END'
perilune: cannot open secret.lua: Permission denied
END
fi

it "refuses an empty name"
run run ""
expect 2 err <<'END'
perilune: cannot open a file with an empty name
END

it "refuses a binary file"
printf '\177ELF\002\001\001\000\000' >program.lua
run run program.lua
expect 3 err <<'END'
perilune: cannot run program.lua: it is a binary file, not Lua text
END

it "refuses compiled Lua"
printf '\033LuaT\001' >compiled.lua
run run compiled.lua
expect 3 err <<'END'
perilune: cannot run compiled.lua: it is a binary file, not Lua text
END

it "does not read an endless device"
run run /dev/zero
expect 3 err <<'END'
perilune: cannot run /dev/zero: it is a binary file, not Lua text
END

it "shows where the syntax is wrong"
given broken.lua <<'END'
local x = 1
local y = = 2
END
run run broken.lua
expect 3 err <<'END'
perilune: broken.lua:2: unexpected symbol near '='
END

it "shows where a script from standard input is wrong"
echo 'for for' >source
run run - <source
expect 3 err <<'END'
perilune: stdin:1: <name> expected near 'for'
END

done_testing
