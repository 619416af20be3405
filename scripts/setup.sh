#!/bin/sh
# Installs the Debian 12 packages that are missing: sh scripts/setup.sh run|test|lint
#
#   run    what builds and runs Perilune
#   test   also what runs the tests, with the second compiler and the sanitizers
#   lint   also clang-tidy and clang-format
#
# As root or with sudo. Does nothing, and asks for nothing, when all of them are there.
set -eu

run="g++ cmake ninja-build liblua5.4-dev libasio-dev nlohmann-json3-dev libfmt-dev libcli11-dev pkgconf libtomlplusplus-dev libxxhash-dev libsqlite3-dev libssl-dev libedit-dev"
test="catch2 clang-19 libclang-rt-19-dev python3 python3-jsonschema groff-base openssl tmux zsh fish libncurses-dev libglib2.0-dev libuv1-dev nats-server"
lint="clang-tidy-19 clang-format-19"

case "${1:-run}" in
  run) wanted=$run ;;
  test) wanted="$run $test" ;;
  lint) wanted="$run $test $lint" ;;
  *) echo "usage: sh scripts/setup.sh run|test|lint" >&2; exit 2 ;;
esac

missing=""
for package in $wanted; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=""
elif command -v sudo >/dev/null; then
  as_root=sudo
else
  echo "setup: run as root or install sudo; missing packages:$missing" >&2
  exit 1
fi

echo "setup: installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
