# The audit of a folder, examples/pipelines/audit.lua: bad files are failures in the report and never the end of the run;
# an interrupted audit leaves a partial report, and no child process.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/support/cli.sh"
audit=$root/examples/pipelines/audit.lua
real_path=$PATH

make_tree() {
  rm -rf tree bin report
  mkdir -p tree/sub/deep bin
  printf 'one\n' >tree/a.txt
  printf 'one\n' >tree/sub/b.txt
  printf 'three\n' >"tree/sub/odd name.md"
  printf 'four\n' >tree/sub/deep/--help
  : >tree/empty.md
  ln -s nowhere tree/dangling
}

# Puts a program of that name, with the text below, in front of the real one.
fake() {
  { printf '#!/bin/sh\n'; cat; } >"bin/$1"
  chmod +x "bin/$1"
  PATH=$folder/bin:$real_path
}

# The first columns of the printed table. How small gzip makes a file is its own affair.
columns() { sed -n '2,/^total/p' out | awk '{ print $1, $2, $3, $4 }'; }
# What is said below the table.
remarks() { sed '1,/^total/d; /^$/d' out; }

ended() {
  [ "$status" -eq "$1" ] || fail "exit status $status: $(cat out err)"
  [ ! -s err ] || fail "on standard error: $(cat err)"
}

holds() { grep -q -- "$2" "$1" || fail "no $2 in $1: $(cat "$1")"; }

it "adds up by extension"
make_tree
run run "$audit" tree --out report --jobs 2
ended 0
columns >actual
cat >expected <<'END'
txt 2 8 B
md 2 6 B
(none) 1 5 B
total 5 19 B
END
same expected actual "the table"
remarks >actual
cat >expected <<'END'
1 of them hold the same bytes as another; 0 could not be audited
report: report/audit.json, report/audit.txt
END
same expected actual "the remarks"
holds report/audit.json '"complete": true'
holds report/audit.json '"found": 5'
sed '$d' out >expected
same expected report/audit.txt "the table in the file"

it "a limit ends the walk"
run run "$audit" tree --out report --limit 2
ended 0
holds report/audit.json '"found": 2'

it "survives a file that cannot be read, and one that vanishes between two stages"
make_tree
fake sha256sum <<END
case \$2 in
  */a.txt) echo "sha256sum: \$2: Permission denied" >&2; exit 1 ;;
  */empty.md) $(command -v sha256sum) "\$@"; rm "\$2" ;;
  *) exec $(command -v sha256sum) "\$@" ;;
esac
END
run run "$audit" tree --out report
ended 0
remarks | sort >actual
sort >expected <<'END'
0 of them hold the same bytes as another; 2 could not be audited
  sha256sum -- tree/a.txt exited with code 1: sha256sum: tree/a.txt: Permission denied
  gzip: tree/empty.md: No such file or directory
report: report/audit.json, report/audit.txt
END
same expected actual "the remarks"
holds report/audit.json '"complete": true'
holds report/audit.json '"kind": "process"'

it "Ctrl-C: the children end, the report is partial"
make_tree
fake sha256sum <<END
case \$2 in
  */b.txt) echo \$\$ >"$folder/waits"; exec sleep 1000 ;;
  *) exec $(command -v sha256sum) "\$@" ;;
esac
END
rm -f waits
start run "$audit" tree --out report --jobs 1
while [ ! -s waits ]; do kill -0 "$pid" || break; sleep 0.02; done
send INT
finish
ended 130
holds out '^PARTIAL: interrupted after '
holds report/audit.json '"complete": false'
kill -0 "$(cat waits)" 2>/dev/null && fail "a child process is left"

PATH=$real_path
misuse() {
  it "audit $*"
  run run "$audit" "$@"
  [ "$status" -eq 2 ] || fail "exit status $status"
  head -n 1 err >actual
  cat >expected
  same expected actual "standard error"
}
misuse <<'END'
audit: no folder given
END
misuse missing <<'END'
audit: stat missing: No such file or directory
END
misuse "$audit" <<END
audit: $audit is not a folder
END
misuse tree --jobs many <<'END'
audit: --jobs takes a number from 1 on
END
misuse tree --fast <<'END'
audit: unknown flag '--fast'
END

done_testing
