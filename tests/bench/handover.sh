#!/bin/sh
# Nanoseconds per operation of the hand-over workloads, ours beside Go and Tokio: the minimum of several interleaved runs.
#
# usage: tests/bench/handover.sh [WORKLOADS [N [ROUNDS]]]   WORKLOADS comma separated, default all four
# Needs go, and cargo with Debian's librust-tokio-dev. Builds into build/bench and downloads nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
workloads=$(echo "${1:-broadcast,watch,mutex,semaphore}" | tr , ' ')
n=${2:-200000}
rounds=${3:-5}
out=$root/build/bench
mkdir -p "$out"

cmake --preset release -S "$root" -DPERILUNE_BUILD_BENCH=ON >/dev/null
cmake --build "$root/build/release" --target perilune bench_handover >/dev/null
go build -o "$out/handover_go" "$here/peers/handover.go"
(cd "$here/peers/handover" && CARGO_TARGET_DIR="$out/cargo" cargo build -q --offline --release)

measure() { # system, command...
  system=$1
  shift
  taskset -c 1 "$@" "$workload" "$n" | sed "s/^ns=\([0-9]*\) ops=\([0-9]*\).*/$workload $system \1 \2/"
}
for workload in $workloads; do
  for _ in $(seq "$rounds"); do
    measure perilune-lua "$root/build/release/perilune" run "$here/handover.lua"
    measure perilune-c++ "$root/build/release/tests/bench_handover"
    measure go1 env GOMAXPROCS=1 "$out/handover_go"
    measure tokio-ct "$out/cargo/release/handover"
  done
done | awk '{ key = $1 " " $2; v = $3 / $4; if (!(key in least) || v < least[key]) least[key] = v; if (!seen[key]++) order[++count] = key }
  END { for (i = 1; i <= count; i++) printf "%s %.0f ns\n", order[i], least[order[i]] }'
