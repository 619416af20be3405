# What the program says of itself, and of command lines it does not understand.
. "$(dirname "$0")/../support/cli.sh"

it "prints its version"
for flag in --version -V version; do
  run $flag
  grep -Eq '^perilune [0-9]+\.[0-9]+\.[0-9]+$' out || fail "no version after $flag: $(cat out err)"
  [ "$status" -eq 0 ] || fail "status $status after $flag"
done

it "prints its help on standard output"
run --help
cp out help
[ "$status" -eq 0 ] || fail "status $status"
head -n 1 help | grep -q '^usage: perilune run ' || fail "no usage line"
for words in help -h; do
  # shellcheck disable=SC2086 # one word per argument
  run $words
  expect 0 out <help
done

misuse() {
  it "perilune $*"
  run "$@"
  expect 2 err
}

misuse <<'END'
perilune: no command; see perilune --help
END
misuse run <<'END'
perilune: no perilune.toml or perilune.lua here or above; perilune init makes one
END
misuse rum x.lua <<'END'
perilune: unknown command 'rum'; did you mean 'run'?
END
misuse frobnicate <<'END'
perilune: unknown command 'frobnicate'; see perilune --help
END
misuse --vrsion <<'END'
perilune: unknown flag '--vrsion'; did you mean '--version'?
END
misuse run --grce=2 x.lua <<'END'
perilune: run: unknown flag '--grce'; did you mean '--grace'?
END
misuse run --colour x.lua <<'END'
perilune: run: unknown flag '--colour'; did you mean '--color'?
END
misuse run --grace soon x.lua <<'END'
perilune: run: --grace: not a duration like 10s, 500ms or 2m: 'soon'
END
misuse run --seed -3 x.lua <<'END'
perilune: run: --seed: not a whole number from 0 on: '-3'
END

it "takes flags from the environment"
: >empty.lua
PERILUNE_GRACE=never run run empty.lua
expect 2 err <<'END'
perilune: run: --grace: not a duration like 10s, 500ms or 2m: 'never'
END
PERILUNE_GRACE=2s run run empty.lua
expect 0

it "SEL-20: repeats every random choice with a seed"
given choices.lua <<'END'
local peri = require "perilune"
local a, b = peri.channel(1), peri.channel(1)
for _ = 1, 40 do
  a:try_send("a") b:try_send("b")
  io.write((select(2, peri.select { a:recv_op(), b:recv_op() })))
end
END
run run --seed 42 choices.lua
cp out first
run run --seed 42 choices.lua
expect 0 out <first

done_testing
