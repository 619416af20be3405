# Reports of a run: the record, HTML, JUnit XML, a Chrome trace and Markdown, each read by a parser of its own.
. "$(dirname "$0")/../support/cli.sh"

command -v python3 >/dev/null || exit 77
LC_ALL=C
export LC_ALL

check() { python3 - "$@" >seen 2>&1 || fail "$(cat seen)"; }

given p.toml <<'END'
[pipeline]
name = "a <b> & \"c\""
[steps.fetch]
doc = "Get <it>"
sh = "echo '<script>alert(1)</script>'"
[steps.build]
needs = ["fetch"]
matrix = { arch = ["x", "y"] }
sh = "echo ${matrix.arch}"
[steps.bad]
needs = ["build"]
sh = "printf 'x\\377y \\033[31mred\\033[0m ]]> \\001\\n'; exit 3"
retry = { attempts = 2, backoff = "10ms" }
[steps.items]
each = ["1", "2"]
argv = ["echo", "item ${item}"]
[steps.never]
needs = ["bad"]
argv = ["echo", "never"]
[steps.left]
if = "false"
argv = ["echo", "no"]
END

run run p.toml -q -k --report json=r/run.json --report html=r/run.html --report junit=r/run.xml --report markdown=r/run.md --trace r/trace.json

it "the record has every step, its attempts and times, and what they say together"
[ "$status" -eq 1 ] || fail "status $status"
check <<'END'
import json, glob
data = json.load(open("r/run.json", encoding="utf-8"))
assert data == json.load(open(glob.glob(".perilune/runs/*/report.json")[0], encoding="utf-8"))
steps = {s["key"]: s for s in data["steps"]}
assert data["status"] == "failure" and data["first_failure"] == "bad" and data["pipeline"] == 'a <b> & "c"'
assert data["counts"] == {"succeeded": 7, "failed": 1, "blocked": 1, "skipped": 1}, data["counts"]
assert len(steps) == sum(data["counts"].values())
assert list(steps)[-5:] == ["items[1]", "items[2]", "items", "never", "left"], "added ones before who added them: %s" % list(steps)
bad = steps["bad"]
assert [a.get("why") for a in bad["attempts"]] == ["exit 3", None] and bad["allowed"] == 2 and bad["place"] == "p.toml:10:8"
assert bad["tail"] == ["x\ufffdy \x1b[31mred\x1b[0m ]]> \x01"]
assert bad["needs"] == ["build"] and steps["items[1]"]["added_by"] == "items"
assert data["critical_path"][0] == "fetch" and data["critical_path"][-1] == "bad" and len(data["critical_path"]) == 3
ran = sorted((s["duration"] for s in steps.values() if s["attempts"]), reverse=True)
assert [steps[key]["duration"] for key in data["slowest"]] == ran[:5]
for step in steps.values():
    assert 0 <= step["started"] <= step["ended"] <= data["duration"] + 0.01, step
assert data["cpu"]["user"] + data["cpu"]["system"] > 0
END

it "lists without anything in them are lists"
mkdir empty
printf '[steps.a]\nsh = "exit 3"\n[steps.b]\nif = "env.NO_SUCH_VARIABLE"\nsh = "true"\n' >empty/perilune.toml
run run -q -k -C empty --report json=bad.json
run run -q -C empty b --report json=skipped.json
check <<'END'
import json
bad, skipped = (json.load(open("empty/%s.json" % name)) for name in ("bad", "skipped"))
assert bad["steps"][0]["tail"] == [] and bad["steps"][0]["needs"] == [] and bad["steps"][1]["attempts"] == [], bad
assert skipped["critical_path"] == [] and skipped["slowest"] == [] and skipped["counts"] == {"skipped": 1}, skipped
END

it "JUnit: a case for each step that did something"
check <<'END'
import xml.etree.ElementTree as tree
root = tree.parse("r/run.xml").getroot()
suite, = root
assert root.tag == "testsuites" and suite.get("name") == 'a <b> & "c"'
cases = {c.get("name"): c for c in suite.findall("testcase")}
assert set(cases) == {"fetch", "build[arch=x]", "build[arch=y]", "bad", "items[1]", "items[2]", "never", "left"}, set(cases)
assert suite.get("tests") == "8" and suite.get("failures") == "1" and suite.get("skipped") == "2"
failure = cases["bad"].find("failure")
assert failure.get("message") == "exit 3" and "red" in failure.text and cases["bad"].get("line") == "10"
assert cases["never"].find("skipped").get("message") == "blocked: bad failed"
assert len(cases["fetch"]) == 0 and cases["build[arch=x]"].get("classname") == "build"
END

it "the trace has a slice for each attempt, none over another in its row"
check <<'END'
import json
data = json.load(open("r/trace.json"))
slices = [e for e in data["traceEvents"] if e["ph"] == "X"]
assert sorted(e["name"] for e in slices) == sorted(["fetch", "build[arch=x]", "build[arch=y]", "bad", "bad", "items[1]", "items[2]"])
for row in {e["tid"] for e in slices}:
    mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == row)
    assert all(a[1] <= b[0] + 1e-6 for a, b in zip(mine, mine[1:])), mine
assert {e["args"]["name"] for e in data["traceEvents"] if e["name"] == "thread_name"} >= {"slot 1"}
END

it "HTML: one file, well formed, what steps say is text, every link leads somewhere"
check <<'END'
from html.parser import HTMLParser
text = open("r/run.html", encoding="utf-8").read()
void = {"meta", "input", "br"}
class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.words = [], set(), [], [], []
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if "id" in attrs: self.ids.add(attrs["id"])
        for name in ("href", "src"):
            if name in attrs: self.links.append(attrs[name])
        if tag not in void: self.open.append(tag)
    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)
    def handle_data(self, data):
        self.words.append(data)
page = Page()
page.feed(text)
page.close()
assert not page.open and page.tags.count("script") == 1 and page.tags.count("svg") == 1
assert all(link.startswith("#") and link[1:] in page.ids for link in page.links), page.links
words = " ".join(page.words)
assert '<script>alert(1)</script>' in words and "x\ufffdy red ]]>" in words and "perilune resume -f p.toml" in words
assert "prefers-color-scheme:dark" in text and "http" not in text
assert len([i for i in page.ids if i.startswith("s")]) == 10
END

it "Markdown names what failed, how, and every step"
grep -q '^### bad failed: exit 3 (`p.toml:10:8`)$' r/run.md || fail "$(cat r/run.md)"
grep -qF '# a \<b\> & "c": failure' r/run.md || fail "$(cat r/run.md)"
[ "$(grep -c '^| .* | .* | .* | .* | .* |$' r/run.md)" -eq 10 ] || fail "$(cat r/run.md)"

it "makes the same reports again later, of the run that is named"
id=$(python3 -c 'import json; print(json.load(open("r/run.json"))["run"])')
run run p.toml -q fetch
for format in json html markdown trace; do
  "$PERILUNE" report -f p.toml "$id" --format $format >later 2>err || fail "$format: $(cat err)"
  case $format in json) name=run.json ;; html) name=run.html ;; markdown) name=run.md ;; trace) name=trace.json ;; esac
  cmp -s later r/$name || [ $format = json ] || fail "$format differs: $(diff later r/$name | head -n 5)"
done
"$PERILUNE" report -f p.toml | python3 -c 'import json, sys; assert len(json.load(sys.stdin)["steps"]) == 1' || fail "last run"

it "writes several at once"
run report -f p.toml "$id" --report html=again/run.html --report markdown=again/run.md
expect 0
cmp again/run.html r/run.html && cmp again/run.md r/run.md || fail "they differ"

it "makes one of what the database has when a run could not write its own"
rm .perilune/runs/"$id"/report.json
"$PERILUNE" report -f p.toml "$id" | python3 -c '
import json, sys
data = json.load(sys.stdin)
assert data["status"] == "failure" and data["counts"]["failed"] == 1' || fail "no record"
"$PERILUNE" report -f p.toml "$id" --format html >later || fail "no page"

it "no report, log, record or database holds a secret"
given secret.toml <<'END'
[secrets]
token = { env = "TOKEN" }
[steps.a]
argv = ["sh", "-c", "echo got $1; echo \"$1 again\" >&2; exit 1", "x", "${secrets.token}"]
[steps.b]
sh = "printf '%s' ${secrets.token}; false"
if = "secrets.token == 'none'"
END
TOKEN=hunter2secret run run secret.toml -k --report json=s/r.json --report html=s/r.html --report junit=s/r.xml --report markdown=s/r.md --trace s/t.json
grep -q '^a | got \*\*\*$' out && grep -q 'command: sh -c' err || fail "$(cat out err)"
! grep -rl hunter2secret out err s .perilune || fail "it is there"

it "refuses a format that it does not know, before anything runs"
rm -rf .perilune
run run p.toml --report yaml=x
expect 2 err <<'END'
perilune: --report: one of json, html, junit, trace, markdown expected, got 'yaml'; did you mean 'html'?
END
[ ! -e .perilune ] || fail "something ran"

it "writes a report to standard output where the path is -"
run run p.toml -q fetch --report markdown=-
grep -q '^## Steps$' out || fail "$(cat out err)"
[ ! -e - ] || fail "there is a file of that name"

it "says so when a report cannot be written"
run run p.toml -q fetch --report json=/dev/null/x.json
[ "$status" -eq 1 ] && grep -q '^perilune: cannot write the json report: ' err || fail "status $status: $(cat err)"

done_testing
