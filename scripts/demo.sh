#!/bin/sh
# Builds Perilune and runs the main job on real files: sh scripts/demo.sh [FOLDER]
#
# The job is examples/pipelines/audit.lua; FOLDER is by default the system's documentation, or else the first folder of
# the system with a thousand files in it. The report is written to build/demo.
set -eu
cd "$(dirname "$0")/.."

has_thousand_files() {
  [ -d "$1" ] && [ "$(find "$1" -type f 2>/dev/null | head -n 1000 | wc -l)" -eq 1000 ]
}

folder=${1:-}
for candidate in /usr/share/doc /usr/share/man /usr/include /usr/share /usr/lib; do
  [ -z "$folder" ] && has_thousand_files "$candidate" && folder=$candidate
done
folder=$(cd "${folder:-.}" && pwd)

sh scripts/setup.sh run
cmake --preset release
cmake --build --preset release --target perilune

root=$PWD
mkdir -p build/demo
cd build/demo
echo
echo "perilune run examples/pipelines/audit.lua $folder"
status=0
"$root/build/release/perilune" run "$root/examples/pipelines/audit.lua" "$folder" || status=$?

echo
echo "exit status $status; written to $PWD:"
ls -l
exit "$status"
