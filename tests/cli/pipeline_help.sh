# `--help` of the program and of every command, made of the one table of words; unknown flags and commands; the man page.
. "$(dirname "$0")/../support/cli.sh"

it "lists every command, and each tells its flags with their variables"
run --help
cp out overview
for command in run watch list show why graph check resume history logs report clean init test top inspect repl doctor completion \
  schema help version; do
  grep -q "^  $command " overview || fail "$command is not listed"
  run $command --help
  [ "$status" -eq 0 ] || fail "$command --help: status $status: $(cat err)"
  head -n 1 out | grep -q "^usage: perilune $command" || fail "$command: $(head -n 1 out)"
  cp out asked
  run help $command
  expect 0 out <asked
  if grep -E '^  (-.,|   ) --' asked | grep -v -- --help | grep -qv '^.\{30\}'; then fail "$command: a flag without text"; fi
done

it "names the variable of every flag"
run run --help
tr -s ' \n' ' ' <out >flat
for variable in JOBS WORKERS FILE DIRECTORY POOL KEEP_GOING FAIL_FAST DRY_RUN PARAM PARAMS_FILE ENV_FILE ONLY SKIP FROM UNTIL FORCE \
  NO_CACHE RETRIES TIMEOUT GRACE OUTPUT CI REPORT TRACE LOG_LEVEL LOG_FORMAT SEED YES JSON VERBOSE QUIET COLOR; do
  grep -q "\[PERILUNE_$variable\]" flat || fail "no PERILUNE_$variable"
done

it "keeps lines short enough for a terminal"
awk 'length > 132 { exit 1 }' overview out || fail "$(awk 'length > 132' overview out)"

it "refuses what a command does not know, and says what was meant"
run list --jsn
expect 2 err <<'EOF'
perilune: list: unknown flag '--jsn'; did you mean '--json'?
EOF
run list --jobs 3
expect 2 err <<'EOF'
perilune: list: unknown flag '--jobs'; see perilune list --help
EOF
run help rum
expect 2 err <<'EOF'
perilune: unknown command 'rum'; did you mean 'run'?
EOF

it "takes flags of pipelines from the environment"
given p.toml <<'EOF'
[steps.a]
sh = "echo a"
EOF
PERILUNE_FILE=p.toml PERILUNE_QUIET=1 run run
expect 0 out <<'EOF'
a | a
EOF
PERILUNE_FILE=p.toml PERILUNE_JOBS=many run run
expect 2 err <<'EOF'
perilune: PERILUNE_JOBS: a whole number from 1 on or auto expected, got 'many'
EOF

it "writes a man page without mistakes"
run help --format man
[ "$status" -eq 0 ] || fail "status $status"
head -n 1 out | grep -q '^.TH PERILUNE 1' || fail "$(head -n 1 out)"
grep -q '^.B \\-p, \\-\\-param NAME=VALUE' out || fail "no flag -p"
if command -v groff >/dev/null; then
  groff -man -Tutf8 -ww out >shown 2>warnings
  [ ! -s warnings ] || fail "$(cat warnings)"
fi

done_testing
