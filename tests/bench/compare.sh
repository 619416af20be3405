#!/bin/sh
# Puts the project's figures beside those of a folder of peers, in one interleaved run, and says which goals are met.
#
# usage: tests/bench/compare.sh PEERS [WORKLOADS [ROUNDS]]
#   PEERS      a folder with run-baselines.sh (builds into $BB with BUILD_ONLY=1; APT=0 when its packages are installed) and
#              drive.py (runs everything; takes lines `name TAB command` by --extra)
#   WORKLOADS  comma separated, default all that have a goal
#   ROUNDS     runs of each, 5 by default; minima are compared
# Environment: BB, where the peers are built (/tmp/bb); built ones are taken as they are. SYS, further systems to run.
# Prints one table; the raw results stay in build/bench. The machine should be idle: the ratios of one run are what counts.
set -eu
[ $# -ge 1 ] || { sed -n '4,9s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
peers=$(cd "$1" && pwd)
workloads=${2:-w1,w2seq,w2batch,w3,w4a,w4b,w5,w6,w7,w8,w8s,w9a,w9b,w10s,w10c}
rounds=${3:-5}
out=$root/build/bench
mkdir -p "$out"

cmake --preset release -S "$root" -DPERILUNE_BUILD_BENCH=ON >/dev/null
cmake --build "$root/build/release" -j2 --target perilune bench_workloads >/dev/null
{
  printf 'perilune-lua\ttaskset -c 1 %s run %s {w} {n}\n' "$root/build/release/perilune" "$here/workloads.lua"
  printf 'perilune-c++\ttaskset -c 1 %s {w} {n}\n' "$root/build/release/tests/bench_workloads"
} >"$out/extra.txt"

BB=${BB:-/tmp/bb}
export BB
[ -x "$BB/cargo/release/tokbench" ] || BUILD_ONLY=1 bash "$peers/run-baselines.sh" >&2
rm -f "$out/results.tsv"
python3 "$peers/drive.py" "$out/results.tsv" --rounds "$rounds" --only "$workloads,raw:switch" \
  --sys "perilune-lua,perilune-c++,limit,coro-gcc,go1,tokio-ct,raw-lua${SYS:+,$SYS}" --extra "$out/extra.txt" >&2
python3 "$here/goals.py" "$out/results.tsv"
