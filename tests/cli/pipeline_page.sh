# The two pipelines that the page about the runner shows, as they stand there, with stubs for the programs they call.
. "$(dirname "$0")/../support/cli.sh"

mkdir -p page/bin
PATH=$folder/page/bin:$PATH
stub() {
  { echo '#!/bin/sh'; cat; } >"page/$1"
  chmod +x "page/$1"
}
stub build.sh <<'END'
mkdir -p "out/$1-$2"
echo "built from $(cat src.tgz)" >"out/$1-$2/app"
echo "$1 $2" >>built
END
stub bin/curl <<'END'
for url; do :; done
echo "fetched $url"
echo sources >"$2"
END
stub list-tests <<'END'
echo '["one", "two"]'
END
stub run-test <<'END'
echo "tested $1"
END
stub publish.sh <<'END'
echo "published with $TOKEN"
echo once >>published
END
stub notify.sh <<'END'
echo "notified: $1"
END
given page/checks.lua <<'END'
local peri = require "perilune"
function coverage(ctx)
  peri.sleep(0.01)
  return 90
end
END
given page/perilune.toml <<'END'
[pipeline]
name = "release"
default = "publish"
dotenv = [".env"]
[params]
version = { type = "string", required = true, pattern = '^\d+\.\d+\.\d+$', doc = "release version" }
[secrets]
token = { env = "REGISTRY_TOKEN" }        # masked everywhere
[pools]
net = 2

[steps.fetch]
doc     = "Download sources"
argv    = ["curl", "-fLo", "src.tgz", "https://example.org/${params.version}.tgz"]
outputs = ["src.tgz"]
pool    = "net"
timeout = "2m"
retry   = { attempts = 4, backoff = "1s..30s", factor = 2.0, jitter = 0.2, on = ["exit:6,7,28", "timeout"] }

[steps.build]
needs   = ["fetch"]
matrix  = { arch = ["amd64", "arm64"], opt = ["debug", "release"], exclude = [{ arch = "arm64", opt = "debug" }] }
sh      = './build.sh "$ARCH" "$OPT"'     # /bin/sh -eu
env     = { ARCH = "${matrix.arch}", OPT = "${matrix.opt}" }
inputs  = ["src.tgz", "build.sh"]
outputs = ["out/${matrix.arch}-${matrix.opt}/app"]

[steps.test]
needs   = ["build"]
each    = { argv = ["./list-tests", "--json"] }   # fan-out known only at run time; empty list = success
argv    = ["./run-test", "${item}"]
fail    = "collect"

[steps.check]
needs   = ["test"]
lua     = "checks.lua:coverage"           # a Lua function as an in-process task; gets ctx, may await and add steps

[steps.publish]
needs   = ["check"]
if      = "params.channel == 'stable' or env.CI"
argv    = ["./publish.sh"]
env     = { TOKEN = "${secrets.token}" }
effect  = true                            # never cached, never repeated by resume after success

[steps.notify]
after   = ["publish"]
when    = "always"                        # success | failure | cancelled | always
argv    = ["./notify.sh", "${run.status}"]
END
given page/page.lua <<'END'
local url = "https://example.org/src.tgz"
local function compute(ctx) return 42 end
local pipeline = require "perilune.pipeline"
local p = pipeline.new("release", { pools = { net = 2 } })
p:main(function(ctx)                      -- a task; every ctx:step is a memoised await, the graph grows as it runs
  local src = ctx:step("fetch", { argv = { "curl", "-fLo", "src.tgz", url }, outputs = { "src.tgz" }, pool = "net",
                                  timeout = 120, retry = { attempts = 4, backoff = { 1, 30 } } })
  local names = ctx:step("list", { argv = { "./list-tests", "--json" }, capture = "json" }).value
  ctx:map("test", names, function(n) return { argv = { "./run-test", n } } end, { limit = 16, collect = true })
  ctx:step("coverage", function(c) return compute(c) end)        -- a Lua step
end)
p:finally("notify", function(ctx, run) return { argv = { "./notify.sh", run.status } } end)
return p
END

it "runs the TOML pipeline, the effect only where its condition holds"
REGISTRY_TOKEN=s3cret run run -C page -q -p version=1.2.3
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
grep -qx "fetch | fetched https://example.org/1.2.3.tgz" out || fail "$(cat out)"
[ "$(sort page/built | tr '\n' ,)" = "amd64 debug,amd64 release,arm64 release," ] || fail "$(cat page/built)"
grep -qx "test\[one\] | tested one" out && grep -qx "notify | notified: success" out || fail "$(cat out)"
[ ! -e page/published ] || fail "published"
REGISTRY_TOKEN=s3cret CI=1 run run -C page -q -p version=1.2.3
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
grep -qx "publish | published with \*\*\*" out || fail "$(cat out)"
[ "$(wc -l <page/built)" -eq 3 ] || fail "built again: $(cat page/built)"
! grep -rq s3cret page/.perilune || fail "the secret is in $(grep -rl s3cret page/.perilune)"

it "refuses a parameter that does not match"
run run -C page -p version=1.2
expect 2 err <<'END'
perilune: parameter 'version': '1.2' does not match ^\d+\.\d+\.\d+$
END

it "names a parameter that is missing"
run run -C page
expect 2 err <<'END'
perilune: parameter 'version' is required (release version); give -p version=VALUE
END

it "runs the Lua pipeline"
run run -C page page.lua -q
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
for line in "fetch | fetched https://example.org/src.tgz" "test[two] | tested two" "notified: success"; do
  grep -qF "$line" out || fail "no '$line' in $(cat out)"
done

done_testing
