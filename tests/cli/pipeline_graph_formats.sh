# `perilune graph`: the steps and what they need, planned or as a run left them, for Graphviz, Mermaid, programs and people.
. "$(dirname "$0")/../support/cli.sh"

command -v python3 >/dev/null || exit 77

given p.toml <<'END'
[steps.a]
doc = "First"
sh = "true"
[steps.b]
needs = ["a"]
sh = "exit 1"
[steps.c]
needs = ["a", "b"]
after = ["d"]
sh = "true"
[steps.d]
each = ["x", "y"]
argv = ["echo", "${item}"]
END

it "dot"
run graph -f p.toml
expect 0 out <<'END'
digraph {
  rankdir=LR; node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];
  "a";
  "b";
  "c";
  "d";
  "a" -> "b";
  "a" -> "c";
  "b" -> "c";
  "d" -> "c" [style=dashed];
}
END

it "mermaid"
run graph -f p.toml --format mermaid
expect 0 out <<'END'
flowchart LR
  s1["a"]
  s2["b"]
  s3["c"]
  s4["d"]
  s1 --> s2
  s1 --> s3
  s2 --> s3
  s4 -.-> s3
END

it "json"
run graph -f p.toml --format json
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import json
steps = {s["key"]: s for s in json.load(open("out"))["steps"]}
assert steps["c"]["needs"] == ["a", "b"] and steps["c"]["after"] == ["d"] and steps["a"]["doc"] == "First"
assert "state" not in steps["a"]
END

it "--run: the states, and the steps that were added"
run run p.toml -q -k
for format in json dot mermaid html; do
  run graph -f p.toml --run last --format $format
  [ "$status" -eq 0 ] && [ ! -s err ] || fail "$format: $(cat err)"
  mv out out.$format
done
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import json
steps = {s["key"]: s for s in json.load(open("out.json"))["steps"]}
states = {key: step["state"] for key, step in steps.items()}
assert states == {"a": "succeeded", "b": "failed", "c": "blocked", "d": "succeeded", "d[x]": "succeeded", "d[y]": "succeeded"}, states
assert steps["d[x]"]["added_by"] == "d"
END
grep -q '^  "b" \[fillcolor="#d1242f", tooltip="failed"\];$' out.dot && grep -q '^  "d" -> "d\[x\]" \[style=dotted\];$' out.dot || fail "$(cat out.dot)"
grep -q '^  s2\["b"\]:::failed$' out.mermaid && grep -q '^  classDef failed fill:' out.mermaid || fail "$(cat out.mermaid)"

it "html: a node for each step, in columns: what a step needs is left of it"
python3 - <<'END' >seen 2>&1 || fail "$(cat seen)"
import re
text = open("out.html", encoding="utf-8").read()
nodes = dict((name, float(x)) for name, x in re.findall(r'<g class="node \w+"><title>([^:<]+)[^<]*</title><rect x="([\d.]+)"', text))
assert set(nodes) == {"a", "b", "c", "d", "d[x]", "d[y]"}, nodes
assert nodes["a"] < nodes["b"] < nodes["c"] and nodes["d[x]"] < nodes["d"] < nodes["c"], nodes
assert len(re.findall(r'class="link', text)) == 6, re.findall(r'class="link[^>]*', text)
END

it "html: many steps of one name are one node"
given many.toml <<'END'
[steps.a]
matrix = { n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }
sh = "true"
[steps.b]
needs = ["a"]
sh = "true"
END
run graph -f many.toml --format html
[ "$(grep -c '<g class="node' out)" -eq 2 ] && grep -q 'a × 10' out || fail "$(cat out)"

it "refuses a format or a run that it does not know"
run graph -f p.toml --format dott
expect 2 err <<'END'
perilune: --format: one of dot, mermaid, json, html expected, got 'dott'; did you mean 'dot'?
END
run graph -f p.toml --run yesterday
expect 2 err <<'END'
perilune: there is no run 'yesterday'
END

done_testing
