-- The page of `perilune inspect`: tasks as a tree, resources, who waits for whom. No file but itself, no other host.
return [==[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>perilune inspect</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #8888; --accent: #2a7ae2; --bad: #c8322b; --good: #2c8a4b; --wait: #b37400; }
* { box-sizing: border-box; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 20px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; margin-bottom: 14px; }
h1 { font-size: 19px; margin: 0; } h2 { font-size: 15px; margin: 26px 0 8px; }
#state { margin-left: auto; color: var(--good); } #state.ended { color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: 8px; }
.fact { border: 1px solid var(--line); border-radius: 8px; padding: 6px 12px; min-width: 92px; }
.fact b { display: block; font-size: 18px; font-variant-numeric: tabular-nums; } .fact span { opacity: .7; font-size: 12px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; opacity: .7; font-size: 12px; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: baseline; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.place, td.name { font-family: ui-monospace, monospace; font-size: 13px; }
.tag { border-radius: 9px; padding: 1px 8px; font-size: 12px; border: 1px solid currentColor; }
.running { color: var(--good); } .ready { color: var(--accent); } .waiting { color: var(--wait); } .closing { color: var(--bad); }
.cycle { border: 1px solid var(--bad); border-radius: 8px; padding: 8px 12px; margin: 12px 0; color: var(--bad); }
.none { opacity: .6; }
input { font: 13px system-ui, sans-serif; margin-left: 8px; padding: 4px 8px; border: 1px solid var(--line); border-radius: 6px; background: transparent; color: inherit; width: 240px; max-width: 100%; }
</style>
<header><h1 id="title">perilune</h1><span id="pid"></span><span id="state">live</span></header>
<div class="facts" id="facts"></div>
<div id="cycles"></div>
<h2>Tasks <input id="filter" placeholder="name, state or line" aria-label="Filter tasks"></h2>
<div class="scroll"><table><thead><tr><th class="n">id</th><th>task</th><th>state</th><th class="n">age</th><th class="n">turns/s</th>
<th>waits for</th><th class="n">since</th><th>line</th></tr></thead><tbody id="tasks"></tbody></table></div>
<h2>Resources</h2>
<div class="scroll"><table><thead><tr><th>kind</th><th>name</th><th>state</th><th class="n">waiting</th><th>held by</th><th>contents</th></tr></thead>
<tbody id="resources"></tbody></table></div>
<script>
const $ = id => document.getElementById(id);
const age = s => s < 60 ? s.toFixed(1) + "s" : s < 3600 ? Math.floor(s / 60) + "m" + String(Math.floor(s % 60)).padStart(2, "0") + "s"
  : Math.floor(s / 3600) + "h" + String(Math.floor(s % 3600 / 60)).padStart(2, "0") + "m";
const bytes = n => n < 1 << 20 ? (n / 1024).toFixed(0) + " KiB" : (n / (1 << 20)).toFixed(1) + " MiB";
let before = new Map(), last = 0;

function cell(row, text, kind, indent) {
  const made = row.insertCell();
  if (kind) made.className = kind;
  if (indent) made.style.paddingLeft = indent * 16 + "px";
  if (text instanceof Node) made.append(text); else made.textContent = text ?? "";
}
function tag(state) {
  const made = document.createElement("span");
  made.className = "tag " + state;
  made.textContent = state;
  return made;
}
function inTree(tasks) {
  const below = new Map(), ids = new Set(tasks.map(t => t.id)), list = [];
  for (const t of tasks) {
    const parent = ids.has(t.parent) ? t.parent : 0;
    below.set(parent, [...below.get(parent) ?? [], t]);
  }
  const stack = (below.get(0) ?? []).map(t => [t, 0]).reverse();
  while (stack.length) {
    const [task, depth] = stack.pop();
    list.push([task, depth]);
    for (const child of (below.get(task.id) ?? []).slice().reverse()) stack.push([child, depth + 1]);
  }
  return list;
}
function facts(list) {
  $("facts").replaceChildren(...list.map(([value, name]) => {
    const made = document.createElement("div"), b = document.createElement("b"), span = document.createElement("span");
    made.className = "fact";
    b.textContent = value;
    span.textContent = name;
    made.append(b, span);
    return made;
  }));
}
function nothing(body, columns) {
  if (body.rows.length) return;
  const made = body.insertRow().insertCell();
  made.colSpan = columns;
  made.className = "none";
  made.textContent = "none";
}
function show(s) {
  const now = performance.now(), seconds = last ? (now - last) / 1000 : 0;
  document.title = (s.command ?? "perilune") + " · inspect";
  $("title").textContent = s.command ?? "perilune";
  $("pid").textContent = "process " + s.pid;
  facts([[s.tasks.length, "tasks"], [s.stats.ready, "ready"], [s.stats.waiting, "waiting"], [s.stats.closing, "closing"],
         [bytes(s.stats.memory), "Lua memory"], [s.stats.timers, "timers"], [s.stats.external, "waits outside"], [s.stats.unobserved, "failures unseen"]]);
  const wanted = $("filter").value.toLowerCase(), rows = document.createElement("tbody");
  for (const [t, depth] of inTree(s.tasks)) {
    const line = [t.name, t.state, t.line].join(" ").toLowerCase();
    if (!line.includes(wanted)) continue;
    const row = rows.insertRow(), on = t.waiting_on;
    cell(row, t.id, "n");
    cell(row, t.name || "(no name)", "name", depth);
    cell(row, tag(t.state));
    cell(row, age(t.age), "n");
    cell(row, seconds && before.has(t.id) ? ((t.busy - before.get(t.id)) / seconds).toFixed(0) : "", "n");
    cell(row, on ? on.op + (on.resource && on.resource !== on.op ? " " + on.resource : "") : "");
    cell(row, on ? age(on.since ?? 0) : "", "n");
    cell(row, t.line, "place");
  }
  nothing(rows, 8);
  $("tasks").replaceChildren(...rows.rows);
  const made = document.createElement("tbody");
  for (const r of s.resources) {
    const row = made.insertRow(), st = r.stats ?? {};
    cell(row, r.kind.replaceAll("_", " "));
    cell(row, r.name || r.found_as, "name");
    cell(row, r.state);
    cell(row, r.waiters, "n");
    cell(row, r.held_by ? "task " + r.held_by + (r.held_at ? " at " + r.held_at : "") : "");
    cell(row, st.len !== undefined ? st.len + (st.capacity !== undefined ? " of " + st.capacity : "") : "");
  }
  nothing(made, 6);
  $("resources").replaceChildren(...made.rows);
  $("cycles").replaceChildren(...(s.waits.some(w => w.cycle) ? [Object.assign(document.createElement("div"), { className: "cycle",
    textContent: "Deadlock: " + s.waits.filter(w => w.cycle).map(w => `task ${w.task} waits for task ${w.on} (${w.op}, ${w.line ?? "?"})`).join("; ") })] : []));
  before = new Map(s.tasks.map(t => [t.id, t.busy]));
  last = now;
}
async function look() {
  try {
    const response = await fetch("snapshot");
    if (!response.ok) throw new Error("ended");
    show(await response.json());
    $("state").textContent = "live";
    $("state").className = "";
    setTimeout(look, 1000);
  } catch {
    $("state").textContent = "the program has ended";
    $("state").className = "ended";
  }
}
look();
</script>
</html>
]==]
