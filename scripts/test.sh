#!/bin/sh
# Builds and runs every test: sh scripts/test.sh
#
#   release  g++, every test
#   asan     clang, every test under the address and undefined behaviour sanitizers
#   tsan     clang, the threaded tests under the thread sanitizer
#
# Warnings are errors in all three, so both compilers are known to be clean. All stages run, whatever fails; the exit
# status says whether everything passed. Ends with a line per stage, the totals, and CTest's closing line of the last.
set -u
cd "$(dirname "$0")/.." || exit 1

sh scripts/setup.sh test || exit 1

if symbolizer=$(command -v llvm-symbolizer-19); then
  export ASAN_SYMBOLIZER_PATH="$symbolizer" TSAN_SYMBOLIZER_PATH="$symbolizer" UBSAN_SYMBOLIZER_PATH="$symbolizer"
fi

stage_table=""
failures=0
tests_run=0
tests_failed=0
closing=""

# Runs a command, shows its output, keeps it in a file, and returns the command's own status.
logged() {
  log=$1
  shift
  { "$@" 2>&1; echo $? >"$log.status"; } | tee "$log"
  return "$(cat "$log.status")"
}

build_and_test() {
  preset=$1
  mkdir -p "build/$preset"
  log=build/$preset/ctest.log
  : >"$log"
  cmake --preset "$preset" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON || return 1
  cmake --build --preset "$preset" || return 1
  logged "$log" ctest --preset "$preset" -j 2
}

stage() {
  echo
  echo "== $1"
  started=$(date +%s)
  if build_and_test "$1"; then verdict=passed; else verdict=FAILED failures=$((failures + 1)); fi
  took=$(($(date +%s) - started))

  closing=$(grep -E 'tests passed, .* out of' "$log" | tail -n 1)
  count=$(echo "$closing" | sed -n 's/.* out of \([0-9][0-9]*\).*/\1/p')
  failed=$(echo "$closing" | sed -n 's/.* \([0-9][0-9]*\) tests* failed out of.*/\1/p')
  tests_run=$((tests_run + ${count:-0}))
  tests_failed=$((tests_failed + ${failed:-0}))
  stage_table="$stage_table$(printf '%-8s %5d s  %-6s  %s' "$1" "$took" "$verdict" "${closing:-no tests ran}")
"
}

whole=$(date +%s)
stage release
stage asan
stage tsan

echo
printf '%s' "$stage_table"
echo "total    $(($(date +%s) - whole)) s, $tests_run tests run, $tests_failed failed, $failures stages failed"
echo "${closing:-no tests ran}"
[ "$failures" -eq 0 ]
