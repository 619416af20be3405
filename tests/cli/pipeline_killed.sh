# The runner is killed at some moment of a run, again and again, and resumed: no step is lost, no effect repeated, no process
# left, nothing half made is trusted. PERILUNE_KILLS is how often.
. "$(dirname "$0")/../support/cli.sh"

kills=${PERILUNE_KILLS:-12}
given p.toml <<'END'
[pipeline]
env = { MARK = "perilune-killed-test" }
[steps.make]
matrix = { n = [1, 2, 3, 4, 5, 6] }
sh = '''
echo ${matrix.n} >>log
echo half >out${matrix.n}; sleep 0.0${matrix.n}; echo whole >out${matrix.n}
'''
outputs = ["out${matrix.n}"]
[steps.effect]
each = { sh = "seq 6" }
needs = ["make"]
effect = true
sh = "echo ${item} >>effects; sleep 0.02"
[steps.plain]
needs = ["effect"]
each = ["a", "b", "c"]
sh = "(setsid sleep 30 &) ; sleep 0.02; cat out1 >plain_${item}"
[steps.last]
needs = ["plain"]
sh = "cat out1 out2 out3 out4 out5 out6 >all"
outputs = ["all"]
END

left_over() {
  for one in /proc/[0-9]*; do
    tr '\0' '\n' <"$one/environ" 2>nothing | grep -qx "PERILUNE_RUN_DIR=$folder.*" && echo "$one $(tr '\0' ' ' <"$one/cmdline")"
  done 2>nothing
}

# Says how often each effect may have been carried out: once, and once more for each time that somebody answered for it.
try() {
  rm -rf .perilune log effects all plain_* out[0-9]
  : >effects
  "$PERILUNE" run -q -j 3 p.toml >out 2>err 3<&- &
  pid=$!
  sleep "0.$1"
  kill -KILL "$pid" 2>nothing
  wait "$pid" 2>nothing
  run resume -q -j 3 -f p.toml
  unknown=0
  if [ "$status" -eq 2 ]; then
    run run -q -j 3 p.toml
  elif [ "$status" -ne 0 ]; then
    grep -q "may or may not" err && unknown=3
    [ "$unknown" -gt 0 ] || fail "after 0.$1: $status $(cat err)"
    [ "$(sort effects | uniq -d)" = "" ] || fail "after 0.$1: repeated: $(cat effects)"
    run resume -q -j 3 -f p.toml --yes
  fi
  [ "$status" -eq 0 ] || fail "after 0.$1: $status $(cat err)"
  [ "$(sort -u effects | tr '\n' ' ')" = "1 2 3 4 5 6 " ] || fail "after 0.$1: effects $(cat effects)"
  [ "$(wc -l <effects)" -le $((6 + unknown)) ] || fail "after 0.$1: effects repeated: $(cat effects)"
  [ "$(grep -c whole all)" -eq 6 ] || fail "after 0.$1: $(cat all)"
  [ -s plain_a ] && [ -s plain_b ] && [ -s plain_c ] || fail "after 0.$1: plain $(ls plain_*)"
  left=$(left_over)
  [ -z "$left" ] || fail "after 0.$1: left $left"
  run history -f p.toml
  [ "$status" -eq 0 ] || fail "after 0.$1: history $(cat err)"
}

it "loses nothing and repeats nothing"
n=0
while [ "$n" -lt "$kills" ] && [ "$failures" -eq 0 ]; do
  n=$((n + 1))
  try "$(awk -v n="$n" -v seed="${PERILUNE_KILL_SEED:-1}" 'BEGIN { srand(n + 1000 * seed); printf "%03d", 2 + rand() * 600 }')"
done

done_testing
