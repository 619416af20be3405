# VIR-08: the project's own tests on the virtual clock: same seed, same trace of every switch, byte for byte. Those that work on
# threads or with processes of the system are left out, since who of them is faster is not ours to say.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/../support/cli.sh"
bound=250  # under a sanitizer it is a minute

files=""
for file in "$root"/tests/scripts/*.lua; do
  if head -n 1 "$file" | grep -Eq 'real clock|fuel|workers'; then continue; fi
  if grep -Eq 'native[.]|[./](fs|process|signal|blocking|log)[^a-z_]|blocking' "$file"; then continue; fi
  files="$files $file"
done

it "VIR-08: same seed, same trace, byte for byte"
for mode in "" --shuffle; do
  # shellcheck disable=SC2086 # lists of words
  run test --seed 7 $mode --trace one $files
  [ "$status" -eq 0 ] || fail "$mode: status $status: $(tail -n 20 out)"
  # shellcheck disable=SC2086 # lists of words
  run test --seed 7 $mode --trace two $files
  cmp one two || fail "$mode: another trace"
  [ "$(grep -c '^# ' one)" -gt 30 ] || fail "few files: $(grep -c '^# ' one)"
done

done_testing
