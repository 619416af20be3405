# The guide, examples/README.md: its pieces of Lua print what stands below them, each in a program of its own.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/../support/cli.sh"

# piece-NN.lua and piece-NN.output, by the fences.
awk '
  /^```lua$/ { into = sprintf("piece-%02d.lua", ++pieces); print "local peri = require \"perilune\"" >into; next }
  /^```output$/ { into = sprintf("piece-%02d.output", pieces); printf "" >into; next }
  /^```/ { into = ""; next }
  into { print >into }
' "$root/examples/README.md"

for piece in piece-*.lua; do
  it "$piece: $(sed -n 3p "$piece")"
  run run "$piece"
  [ "$status" -eq 0 ] || fail "status $status: $(cat err)"
  [ -f "${piece%.lua}.output" ] || : >"${piece%.lua}.output"
  same "${piece%.lua}.output" out "$piece"
done

# Its pieces of CMake, C++ and C stand word for word in a project or program that the tests build.
awk '
  /^```(cmake|cpp|c)$/ { kind = substr($0, 4); into = sprintf("%s-%02d", kind, ++pieces); next }
  /^```/ { into = ""; next }
  into { print >into }
' "$root/examples/README.md"
for piece in cmake-* cpp-* c-*; do
  it "$piece: $(sed -n 1p "$piece")"
  found=
  for program in "$root"/tests/consumer/*/CMakeLists.txt "$root"/examples/cpp/*.cpp "$root"/examples/c/*.c; do
    case "$(cat "$program")" in *"$(cat "$piece")"*) found=$program ;; esac
  done
  [ -n "$found" ] || fail "no program has this piece"
done

it "leads to every program there is"
[ "$(ls piece-*.output | wc -l)" -gt 15 ] || fail "few pieces"
for program in "$root"/examples/lua/*.lua "$root"/examples/cpp/*.cpp "$root"/examples/c/*.c; do
  grep -q "(${program#"$root"/examples/})" "$root/examples/README.md" || fail "${program#"$root"/} is not in the guide"
done

done_testing
