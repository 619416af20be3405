-- A run as a page: what failed, when what ran, how steps depend on each other, and the end of every log.
local markup = require "perilune.markup"
local failure = require "perilune.pipeline.failure"
local gantt = require "perilune.pipeline.html_gantt"
local graph = require "perilune.pipeline.html_graph"
local line = require "perilune.pipeline.line"
local log_tail = require "perilune.pipeline.log_tail"
local page = require "perilune.pipeline.html_page"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local escape = markup.text
local failed = { failed = true, timeout = true }
local most_problems <const>, lines_of_success <const>, lines_of_failure <const> = 20, 12, 40

local script <const> = [[
const tools=document.querySelector('.tools'),find=tools.querySelector('[type=search]'),bad=tools.querySelector('[type=checkbox]');
const steps=[...document.querySelectorAll('.steps details')];
function show(){const words=find.value.toLowerCase();for(const s of steps){const hit=s.querySelector('.key').textContent.toLowerCase().includes(words);
s.hidden=!(hit&&(!bad.checked||/failed|timeout|blocked|cancelled/.test(s.className)))}}
find.addEventListener('input',show);bad.addEventListener('change',show);tools.style.display='flex';
function open(){const at=location.hash&&document.querySelector(location.hash);if(at&&at.tagName==='DETAILS'){at.hidden=false;at.open=true}}
addEventListener('hashchange',open);open();
]]

local function tail_of(step)
  local lines = failed[step.state] and step.tail or log_tail.lines(step.log, failed[step.state] and lines_of_failure or lines_of_success)
  local out = {}
  for i, each in ipairs(lines) do out[i] = escape(line.for_terminal(each, false)) end
  return #out > 0 and "<pre>" .. table.concat(out, "\n") .. "</pre>" or ""
end

local function fact(name, value) return value and ("<div><dt>%s</dt><dd>%s</dd></div>"):format(name, escape(value)) or "" end

local function head(data)
  return table.concat {
    '<section class="card"><div class="head"><span class="pill ', data.status, '">', escape(data.status), "</span><h1>",
    escape(data.pipeline or data.file), '</h1></div><dl class="facts">', fact("Steps", summary.counts(data.counts)),
    fact("Wall time", text.seconds(data.duration or 0)), fact("Processor time", text.seconds(data.cpu.user + data.cpu.system)),
    fact("Cache hits", (summary.cache_hits(data.counts) or "cache hits none"):match("hits (.+)$")), fact("At once", data.jobs and tostring(data.jobs)),
    fact("Started", os.date("%Y-%m-%d %H:%M:%S", math.floor(data.started))), fact("File", data.file), fact("Run", data.run),
    fact("Resumes", data.resumed_from), "</dl></section>",
  }
end

local function attempt_words(step)
  local tried = #step.attempts
  return tried > 0 and (", attempt %d/%d"):format(tried, math.tointeger(step.allowed) or tried) or ""
end

local function problem(step, anchor)
  return table.concat {
    '<article class="card problem"><h3><a href="#s', anchor, '">', escape(step.key), '</a></h3><div class="soft">',
    escape(failure.how(step) .. attempt_words(step)), step.place and " · " .. escape(step.place) or "", "</div>",
    step.command and "<pre>" .. escape(step.command) .. "</pre>" or "", tail_of(step), "</article>",
  }
end

-- The first failure first.
local function problems(data)
  local list, followers = {}, 0
  for i, step in ipairs(data.steps) do
    if failed[step.state] then list[#list + 1] = { step = step, anchor = i } end
    if step.state == "blocked" or step.state == "cancelled" then followers = followers + 1 end
  end
  if #list == 0 then return "" end
  table.sort(list, function(a, b)
    if (a.step.key == data.first_failure) ~= (b.step.key == data.first_failure) then return a.step.key == data.first_failure end
    return (a.step.ended or 0) < (b.step.ended or 0)
  end)
  local out = { "<h2>What failed</h2>" }
  for i = 1, math.min(#list, most_problems) do out[#out + 1] = problem(list[i].step, list[i].anchor) end
  if #list > most_problems then out[#out + 1] = ('<p class="note">%d more failed, see the steps below.</p>'):format(#list - most_problems) end
  if followers > 0 then out[#out + 1] = ('<p class="note">%d more not run because of that.</p>'):format(followers) end
  if data.resume then out[#out + 1] = '<p class="note">Resume with <code>' .. escape(data.resume) .. "</code></p>" end
  return table.concat(out, "\n")
end

local function path_words(data)
  local by_key, parts = {}, {}
  for i, step in ipairs(data.steps) do by_key[step.key] = i end
  for i, key in ipairs(data.critical_path or {}) do
    local at = by_key[key]
    parts[i] = ('<a href="#s%d">%s</a> <span class="soft">%s</span>'):format(at, escape(key), text.seconds(data.steps[at].duration or 0))
  end
  if #parts > 12 then parts = table.move(parts, #parts - 2, #parts, 11, { (" … (%d more) … "):format(#parts - 12), table.unpack(parts, 1, 9) }) end
  return #parts > 1 and '<p class="note">Critical path: ' .. table.concat(parts, " → ") .. "</p>" or ""
end

local function step_html(step, anchor)
  local body = { step.doc and "<div>" .. escape(step.doc) .. "</div>" or "", step.message and "<div>" .. escape(step.message) .. "</div>" or "" }
  local where = {}
  if step.place then where[#where + 1] = escape(step.place) end
  if #step.attempts > 0 then where[#where + 1] = escape(failed[step.state] and failure.how(step) .. attempt_words(step) or (#step.attempts .. " attempt" .. (#step.attempts > 1 and "s" or ""))) end
  if #step.needs > 0 then where[#where + 1] = "needs " .. escape(table.concat(step.needs, ", ")) end
  if step.added_by then where[#where + 1] = "added by " .. escape(step.added_by) end
  body[#body + 1] = '<div class="soft">' .. table.concat(where, " · ") .. "</div>"
  if step.command and step.command ~= "" then body[#body + 1] = "<pre>" .. escape(step.command) .. "</pre>" end
  body[#body + 1] = tail_of(step)
  if step.log then body[#body + 1] = '<div class="soft">log: <code>' .. escape(step.log) .. "</code></div>" end
  local time = step.command and #step.attempts > 0 and text.seconds(step.duration or 0) or ""
  return ('<details id="s%d" class="%s"><summary><span class="dot"></span><span class="key">%s</span><span class="state soft">%s</span>'
    .. '<span class="time">%s</span><span class="why soft">%s</span></summary><div class="body">%s</div></details>'):format(anchor, step.state,
    escape(step.key), step.state, time, escape(step.reason or ""), table.concat(body))
end

local function steps_html(data)
  local out = { '<div class="tools"><input type="search" placeholder="Find a step" aria-label="Find a step"><label><input type="checkbox"> only what went wrong</label></div>',
                '<div class="card steps">' }
  for i, step in ipairs(data.steps) do out[#out + 1] = step_html(step, i) end
  out[#out + 1] = "</div>"
  return table.concat(out, "\n")
end

return function(data)
  local critical, anchors = {}, {}
  for _, key in ipairs(data.critical_path or {}) do critical[key] = true end
  for i, step in ipairs(data.steps) do anchors[step.key] = i end
  local function link_of(node) return anchors[node.key] and "#s" .. anchors[node.key] end
  return page(("%s: %s"):format(data.pipeline or data.file, data.status), {
    head(data), problems(data), "<h2>Time line</h2>", path_words(data), gantt(data, critical), "<h2>Graph</h2>",
    graph(data.steps, link_of, critical), "<h2>Steps</h2>", steps_html(data), "<footer>Perilune, run " .. escape(data.run) .. "</footer>",
  }, script)
end
