# Whatever scripts call with whatever arguments, the program comes to its end and blames the right line. See tests/fuzz/api.lua.
. "$(dirname "$0")/../support/cli.sh"
case $0 in /*) caller=$(dirname "$0")/../fuzz/api.lua ;; *) caller=$OLDPWD/$(dirname "$0")/../fuzz/api.lua ;; esac

it "survives every call"
for seed in 1 2 3; do
  run run "$caller" "$seed" 2500
  [ "$status" -le 1 ] || fail "seed $seed: status $status, $(tail -n 3 err)"
  tail -n 1 out | grep -q "^the end: " || fail "seed $seed did not come to its end: $(tail -n 1 out)"
  ! grep -a "^FAULT" err || fail "seed $seed"
done

done_testing
