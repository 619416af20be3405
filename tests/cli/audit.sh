#!/bin/sh
# The audit of a folder: bad files are failures in the report, and an interrupted audit leaves a partial one.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${PERILUNE:?the program under test}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/tree/sub"
printf 'one\n' >"$work/tree/a.txt"
printf 'one\n' >"$work/tree/sub/b.txt"
printf 'three\n' >"$work/tree/odd name.md"
ln -s nowhere "$work/tree/dangling"

cd "$work"
"$PERILUNE" run "$root/examples/pipelines/audit.lua" tree --out out >table
grep -q '^txt  *2 ' table
grep -q '^md  *1 ' table
grep -q '^1 files hold the same bytes as another; 0 could not be audited' table
grep -q '"complete": true' out/audit.json

# A hash program that fails for one file, and makes another vanish before its turn.
mkdir bin
cat >bin/sha256sum <<'FAKE'
#!/bin/sh
case $2 in */a.txt) echo "cannot read $2" >&2; exit 1 ;; esac
exec /usr/bin/sha256sum "$@"
FAKE
chmod +x bin/sha256sum
PATH="$work/bin:$PATH" "$PERILUNE" run "$root/examples/pipelines/audit.lua" tree --out out >table
grep -q '1 could not be audited' table
grep -q 'cannot read tree/a.txt' table
grep -q '"complete": true' out/audit.json
grep -q '"kind": "process"' out/audit.json

# Ctrl-C in the middle: the children end, the report is partial, the status is the signal's.
printf '#!/bin/sh\necho started >>"%s/started"\nexec sleep 60\n' "$work" >bin/sha256sum
PATH="$work/bin:$PATH" "$PERILUNE" run "$root/examples/pipelines/audit.lua" tree --out out >table 2>err &
runner=$!
while [ ! -s started ]; do kill -0 $runner; done
kill -INT $runner
status=0
wait $runner || status=$?
[ "$status" -eq 130 ]
grep -q PARTIAL table
grep -q '"complete": false' out/audit.json

status=0
"$PERILUNE" run "$root/examples/pipelines/audit.lua" missing 2>err || status=$?
[ "$status" -eq 2 ]
grep -q 'stat missing: No such file or directory' err
