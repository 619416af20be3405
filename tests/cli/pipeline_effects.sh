# Steps with an effect: always carried out by a new run, never repeated by a resume, and asked about where nobody knows.
. "$(dirname "$0")/../support/cli.sh"

given p.toml <<'END'
[steps.publish]
effect = true
sh = "echo once >>published"
[steps.after]
needs = ["publish"]
sh = "test -e fixed"
END
carried_out() { wc -l <published; }

it "is not repeated by a resume after its success, nor by a resume of that"
run run -q p.toml
[ "$status" -eq 1 ] && [ "$(carried_out)" -eq 1 ] || fail "$status $(cat err)"
run resume -q -f p.toml
[ "$status" -eq 1 ] && [ "$(carried_out)" -eq 1 ] || fail "$status $(cat err)"
touch fixed
run resume -q -f p.toml last --from publish
[ "$status" -eq 0 ] && [ "$(carried_out)" -eq 2 ] || fail "named by --from: $(carried_out)"
run resume -q -f p.toml
[ "$status" -eq 0 ] && [ "$(carried_out)" -eq 2 ] || fail "$(carried_out)"
run run -q p.toml
[ "$status" -eq 0 ] && [ "$(carried_out)" -eq 3 ] || fail "a new run: $(carried_out)"

it "is carried out again after it has said itself that it failed"
given failing.toml <<'END'
[steps.publish]
effect = true
sh = "echo try >>tries; test -e works"
END
run run -q failing.toml
[ "$status" -eq 1 ] || fail "status $status"
touch works
run resume -q -f failing.toml
[ "$status" -eq 0 ] && [ "$(wc -l <tries)" -eq 2 ] || fail "$status $(cat tries)"

# The runner is killed while the effect is under way.
given killed.toml <<'END'
[steps.publish]
effect = true
sh = "echo x >>effects; echo begun; test -e quick || sleep 60"
END
start run killed.toml -q
await "publish | begun"
send KILL
finish
touch quick

it "is not repeated where nobody knows whether it was carried out"
for command in "resume -q -f killed.toml" "run -q killed.toml"; do
  run $command
  [ "$status" -eq 1 ] && grep -q "may or may not have carried out its effect" err || fail "$status $(cat err)"
  [ "$(wc -l <effects)" -eq 1 ] || fail "$(cat effects)"
done

it "is when somebody says so"
run resume -q -f killed.toml --yes
[ "$status" -eq 0 ] && [ "$(wc -l <effects)" -eq 2 ] || fail "$status $(cat err)"

it "asks on a terminal"
if command -v tmux >nothing; then
  . "$support/screen.sh"
  rm quick
  for answer in d a l; do
    start run killed.toml -q
    await "publish | begun"
    send KILL
    finish
    touch quick
    : >effects
    on_terminal -- resume -f killed.toml
    await_line 'leave it:$'
    sleep 0.3 # some frames of what shows how far the run is
    shows 'leave it:$' || fail "the question: $(screen)"
    terminal send-keys "$answer" Enter
    await_end
    case $answer in
      d) [ "$status" -eq 0 ] && [ ! -s effects ] || fail "done: $status $(cat effects)" ;;
      l) [ "$status" -eq 1 ] && [ ! -s effects ] || fail "leave: $status $(cat effects)" ;;
      a) [ "$status" -eq 0 ] && [ "$(wc -l <effects)" -eq 1 ] || fail "again: $status $(cat effects)" ;;
    esac
    rm quick
  done
fi

done_testing
