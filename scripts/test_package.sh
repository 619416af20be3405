#!/bin/sh
# Builds the Debian package of a build folder and tries it on a clean root: sh scripts/test_package.sh BUILD [MIRROR]
#
# The root is a minimal Debian 12 from the mirror (default: the first one that apt knows). The package is installed there with what
# it depends on and nothing else; the program runs, and with a compiler added the programs of tests/consumer are built and run.
# As root. Exit status 77 and a reason where this machine cannot do it.
set -eu

build=${1:?usage: test_package.sh BUILD [MIRROR]}
source=$(cd "$(dirname "$0")/.." && pwd)
skip() { echo "skipped: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root, for chroot"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
mirror=${2:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb \(\[.*\] \)\{0,1\}\([^ ]*\).*/\2/p' | head -n 1)}
[ -n "$mirror" ] || skip "apt knows no mirror; name one"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
step() { echo "== $1"; shift; "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "failed"; exit 1; }; }

step "package" cpack --config "$build/CPackConfig.cmake" -G DEB -B "$work/package"
if command -v lintian >/dev/null; then
  step "lintian finds no error" lintian --allow-root --fail-on error "$work"/package/*.deb
fi
step "clean root" debootstrap --variant=minbase bookworm "$root" "$mirror"
cp -r "$source/tests/consumer" "$root/srv/consumer"
cp "$work"/package/*.deb "$root/srv/perilune.deb"

install="in_root apt-get install -y -q --no-install-recommends"
step "install the package" $install /srv/perilune.deb
step "the program" in_root perilune --version
printf 'local peri = require "perilune"\nlocal db = require("perilune.db").open(":memory:")\nprint(peri.spawn(function() return db:query("select 42 as x")[1].x end):await())\n' >"$root/srv/try.lua"
step "a script" in_root perilune run /srv/try.lua
grep -q '^42$' "$work/log" || { cat "$work/log"; exit 1; }
step "nothing is missing" in_root sh -c '! ldd /usr/bin/perilune /usr/lib/libperilune.so.0 | grep "not found"'
[ -s "$root/usr/share/man/man1/perilune.1.gz" ] && [ -s "$root/usr/share/perilune/types/perilune.lua" ]

step "completion in bash and zsh" $install zsh bash-completion
step "zsh has it" in_root zsh -ec 'autoload -U compinit; compinit -u; [ "$_comps[perilune]" = _perilune ]'
step "bash has it" in_root bash -ec '. /usr/share/bash-completion/bash_completion; _completion_loader perilune || [ $? -eq 124 ]; complete -p perilune'

step "a compiler" $install g++ cmake ninja-build
for consumer in installed c_only no_exceptions; do
  step "consumer $consumer" in_root sh -ec "
    cmake -G Ninja -S /srv/consumer/$consumer -B /tmp/$consumer
    cmake --build /tmp/$consumer
    ctest --test-dir /tmp/$consumer --output-on-failure"
done
step "remove it" in_root dpkg --remove perilune
[ ! -e "$root/usr/bin/perilune" ] && [ ! -e "$root/usr/include/perilune" ]
echo "the package installs, runs and is used on a clean root"
