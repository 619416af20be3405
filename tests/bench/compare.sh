#!/bin/sh
# Puts the project's figures beside those of a folder of peers, in one interleaved run.
#
# usage: tests/bench/compare.sh PEERS [WORKLOADS [ROUNDS]]
#   PEERS      a folder with run-baselines.sh and drive.py that takes part in EXTRA files (lines `name TAB command`)
#   WORKLOADS  comma separated, default w1,w2seq,w2batch,w3,w4a,w4b,w5,w6,w7,w8,w9a,w9b,w10s,w10c
# Environment: SYS, the peers (default limit,limit-lifo,coro-gcc,go1,tokio-ct,raw-lua); BB, where they are built.
# Prints the tables; the raw results stay in build/bench.
set -eu
[ $# -ge 1 ] || { sed -n '4,7s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
peers=$(cd "$1" && pwd)
workloads=${2:-w1,w2seq,w2batch,w3,w4a,w4b,w5,w6,w7,w8,w9a,w9b,w10s,w10c}
rounds=${3:-5}
out=$root/build/bench
mkdir -p "$out"

cmake --preset release -S "$root" -DPERILUNE_BUILD_BENCH=ON >/dev/null
cmake --build "$root/build/release" -j2 >/dev/null

native=$(find "$root/build/release" -type f -name bench_workloads -perm -u+x | head -n 1)
{
  printf 'perilune-lua\ttaskset -c 1 %s run %s {w} {n}\n' "$root/build/release/perilune" "$here/workloads.lua"
  [ -z "$native" ] || printf 'perilune-c++\ttaskset -c 1 %s {w} {n}\n' "$native"
} >"$out/extra.txt"

BB=${BB:-/tmp/bb}
export BB
BUILD_ONLY=1 bash "$peers/run-baselines.sh"
rm -f "$out/results.tsv"
python3 "$peers/drive.py" "$out/results.tsv" --rounds "$rounds" --only "$workloads,raw:switch" \
  --sys "perilune-lua,perilune-c++,${SYS:-limit,limit-lifo,coro-gcc,go1,tokio-ct,raw-lua}" --extra "$out/extra.txt"
python3 "$peers/table.py" "$out/results.tsv" limit
