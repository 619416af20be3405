#!/bin/sh
# What more cores bring and cost: fib on one worker and on two, beside two plain Lua processes side by side, which is what the
# machine can do; and channels between two workers, beside Go and Tokio multi_thread. Minima of several interleaved runs.
#
# usage: tests/bench/more_cores.sh [FIBS [N [ROUNDS]]]
# Needs lua5.4, go, and cargo with Debian's librust-tokio-dev. Builds into build/bench and downloads nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
fibs=${1:-64}
n=${2:-200000}
rounds=${3:-5}
out=$root/build/bench
mkdir -p "$out"

cmake --preset release -S "$root" -DPERILUNE_BUILD_BENCH=ON >/dev/null
cmake --build "$root/build/release" --target perilune bench_more_cores >/dev/null
go build -o "$out/more_cores_go" "$here/peers/more_cores.go"
(cd "$here/peers/more_cores" && CARGO_TARGET_DIR="$out/cargo" cargo build -q --offline --release)

cat >"$out/fib.lua" <<'LUA'
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
for _ = 1, tonumber(arg[1]) do assert(fib(27) == 196418) end
LUA

peri() { # workers workload n
  "$root/build/release/perilune" run --workers "$1" "$here/more_cores.lua" "$2" "$3"
}
line() { # workload system
  sed "s/^ns=\([0-9]*\) ops=\([0-9]*\).*/$1 $2 \1 \2/"
}
plain() { # processes
  begun=$(date +%s%N)
  for _ in $(seq "$1"); do lua5.4 "$out/fib.lua" $((fibs / $1)) & done
  wait
  echo "fib lua5.4-x$1 $(($(date +%s%N) - begun)) $fibs"
}
for _ in $(seq "$rounds"); do
  plain 1
  plain 2
  peri 1 fib "$fibs" | line fib perilune-1
  peri 2 fib "$fibs" | line fib perilune-2
  for workload in throughput roundtrip; do
    peri 2 "$workload" "$n" | line "$workload" perilune-lua
    "$root/build/release/tests/bench_more_cores" "$workload" "$n" | line "$workload" perilune-c++
    GOMAXPROCS=2 "$out/more_cores_go" "$workload" "$n" | line "$workload" go2
    "$out/cargo/release/more_cores" "$workload" "$n" | line "$workload" tokio-mt2
  done
done | awk '{ key = $1 " " $2; v = $3 / $4; if (!(key in least) || v < least[key]) least[key] = v; if (!seen[key]++) order[++count] = key }
  END { for (i = 1; i <= count; i++) printf "%s %.0f ns\n", order[i], least[order[i]] }'
