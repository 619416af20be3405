# `perilune run FILE` and `perilune FILE`: a script finds its arguments, and its text may come from anywhere.
. "$(dirname "$0")/../support/cli.sh"

given words.lua <<'END'
print(arg[0], #arg, ...)
for i = 1, #arg do print(i, arg[i]) end
END

it "passes the words behind the file to the script, flags too"
run run words.lua one --two -3 "four five" ""
expect 0 out <<'END'
words.lua	5	one	--two	-3	four five	
1	one
2	--two
3	-3
4	four five
5	
END

it "needs no command in front of a file"
run ./words.lua run --version
expect 0 out <<'END'
./words.lua	2	run	--version
1	run
2	--version
END

it "takes a file whose name looks like a flag by its path"
given ./-odd.lua <<'END'
print(arg[0])
END
run run ./-odd.lua
expect 0 out <<'END'
./-odd.lua
END

it "has the words in front of the file at negative places of arg"
given before.lua <<'END'
print(arg[-1], arg[-2], arg[-3])
END
run run --seed 7 before.lua
expect 0 out <<'END'
7	--seed	run
END

it "reads a script from standard input"
echo 'print("from a pipe", arg[0], ...) error("here")' >source
run run - a b <source
expect_only 1 out <<'END'
from a pipe	-	a	b
END
expect_only 1 err <<'END'
perilune: stdin:1: here
stack traceback:
	[C]: in function 'error'
	stdin:1: in main chunk
END

it "reads a script from a named pipe"
mkfifo script.pipe
echo 'print("piped")' >script.pipe &
run run script.pipe
expect 0 out <<'END'
piped
END

it "skips a #! line and counts it"
printf '#!/usr/bin/env perilune\nprint(debug.getinfo(1, "l").currentline)\n' >tool
run ./tool
expect 0 out <<'END'
2
END

it "skips a byte order mark"
printf '\357\273\277print("marked")\n' >marked.lua
run run marked.lua
expect 0 out <<'END'
marked
END

it "runs an empty script"
: >empty.lua
run run empty.lua
expect 0

it "leaves standard input to the script"
given reader.lua <<'END'
for line in io.lines() do print("got " .. line) end
END
printf 'a\nb\n' >lines
run run reader.lua <lines
expect 0 out <<'END'
got a
got b
END

done_testing
