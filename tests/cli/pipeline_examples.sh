# The pipelines of the guide: each does what its comment says, and is up to date when it is run again.
case $0 in /*) here=$(dirname "$0") ;; *) here=$PWD/$(dirname "$0") ;; esac
. "$here/../support/cli.sh"

cp -r "$here/../../examples/pipelines" work
cd work || exit 1
export TMPDIR="$PWD"

# passes ARGS: a run that succeeds; what it says is in `out` and `err`.
passes() {
  run "$@"
  [ "$status" -eq 0 ] || fail "perilune $*: status $status
$(cat out err)"
}

it "every one of them is valid"
for file in *.toml monorepo.lua test_shards.lua; do passes check "$file"; done

if command -v cc >/dev/null; then
  it "c_project: builds, tests, installs; a second run compiles nothing"
  passes run c_project.toml install
  [ "$(c_project/stage/bin/count 'a b a')" = "2 different words" ] || fail "$(c_project/stage/bin/count 'a b a')"
  passes run c_project.toml check
  grep -q "5 cached" err || fail "$(cat err)"
  echo '/* more */' >>c_project/table.c
  passes why -f c_project.toml 'object[unit=words]'
  run why -f c_project.toml 'object[unit=table]'
  [ "$status" -eq 10 ] && grep -q "c_project/table.c changed" out || fail "$(cat out)"
fi

it "docs_site: pages, index, archive; one changed chapter makes one page"
passes run docs_site.toml
tar -tf docs_site/handbook.tar | grep -q "site/tides.html" || fail "no tides in the archive"
grep -q '<a href="tides.html">tides</a>' docs_site/site/start.html || fail "$(cat docs_site/site/start.html)"
echo 'More [about](nowhere.html) it.' >>docs_site/tides.txt
run run docs_site.toml
[ "$status" -eq 1 ] && grep -q "a link leads to nowhere.html" err || grep -q "a link leads to nowhere.html" out || fail "$(cat out err)"
grep -q "2 cached" err || fail "$(cat err)"

it "go_service: three binaries with the stand-in"
passes run go_service.toml -p go=tools/go
[ "$(dist/service-linux-arm64)" = "service 1.0 for linux/arm64" ] || fail "$(ls dist)"
[ "$(ls dist | wc -l)" -eq 3 ] || fail "$(ls dist)"

it "web_app: a bundle with its hash in its name, within its budget"
passes run web_app.toml
name=$(cd web_app/dist && ls bundle.*.js)
grep -q "$name" web_app/dist/index.html || fail "$(cat web_app/dist/index.html)"
run run web_app.toml -p budget=10
[ "$status" -eq 1 ] || fail "the budget of 10 bytes is kept?"

it "data_report: months are found while it runs; a new one is added"
passes run data_report.toml
grep -q '^2031-01 north *4.00 ####$' data_report/report.txt || fail "$(cat data_report/report.txt)"
printf 'day,station,degrees\n1,north,8\n' >data_report/raw/2031-03.csv
passes run data_report.toml
grep -q '^2031-03 north *8.00' data_report/report.txt || fail "$(cat data_report/report.txt)"

it "release: one version once; the token shows nowhere"
run run release.toml
[ "$status" -eq 2 ] || fail "no version, status $status"
run run release.toml -p version=1.x
[ "$status" -eq 2 ] || fail "version 1.x, status $status"
REGISTRY_TOKEN=abc-secret passes run release.toml -p version=1.1.0 -p channel=stable
[ -e release/registry/stable/moon-1.1.0.tar ] || fail "not published"
grep -q "published with token \*\*\*" out || fail "$(cat out)"
if grep -rq abc-secret .perilune out err; then fail "the token shows: $(grep -rl abc-secret .perilune out err)"; fi
run run release.toml -p version=1.1.0 -p channel=stable
[ "$status" -eq 0 ] && grep -q "publish.*skipped" err || fail "no token, stable: $(cat err)"
[ "$(wc -l <release/sent.txt)" -eq 2 ] || fail "$(cat release/sent.txt)"

it "containers: built, asked until healthy, pushed, taken down"
REGISTRY_PASSWORD=hidden-word passes run containers.toml -p docker=tools/docker
grep -q "under-test is healthy" out || fail "$(cat out)"
grep -q "push registry.example.org/web:dev" out || fail "$(cat out)"
grep -q hidden-word out err && fail "the password shows"
[ ! -e containers-of-the-guide ] || fail "the container is still there"

it "monorepo: packages in the order of what they need"
passes run monorepo.lua
passes run monorepo.lua
grep -q "3 cached" err || fail "$(cat err)"

it "test_shards: all shards run although one fails, and the summary comes at the end"
passes run test_shards.lua -q
grep -q "the tests ended: success" out || fail "$(cat out)"
run run test_shards.lua -q -p fail=net
[ "$status" -eq 1 ] || fail "status $status"
grep -q "net: expected 1, got 2" out && grep -q "parse: ok" out && grep -q "the tests ended: failure" out || fail "$(cat out err)"

it "dotfiles: linked, what was there is kept, and comes back"
mkdir home
echo mine >home/.vimrc
passes run dotfiles.toml -p home="$PWD/home"
[ -L home/.vimrc ] && [ "$(cat home/.vimrc.before)" = mine ] || fail "$(ls -la home)"
passes run dotfiles.toml -p home="$PWD/home" remove
[ "$(cat home/.vimrc)" = mine ] && [ ! -e home/.bashrc ] || fail "$(ls -la home)"

done_testing
