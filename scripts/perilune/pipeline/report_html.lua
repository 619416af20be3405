-- A run as a page: what failed, when what ran, how steps depend on each other, and the end of every log.
local markup = require "perilune.markup"
local failure = require "perilune.pipeline.failure"
local gantt = require "perilune.pipeline.html_gantt"
local graph = require "perilune.pipeline.html_graph"
local page = require "perilune.pipeline.html_page"
local steps = require "perilune.pipeline.html_steps"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local escape = markup.text
local failed = { failed = true, timeout = true }
local most_problems <const>, most_on_path <const> = 20, 12

local function fact(name, value) return value and ("<div><dt>%s</dt><dd>%s</dd></div>"):format(name, escape(value)) or "" end

local function head(data)
  return table.concat {
    '<section class="card"><div class="head"><span class="pill ', data.status, '">', escape(data.status), "</span><h1>",
    escape(data.pipeline or data.file), '</h1></div><dl class="facts">', fact("Steps", summary.counts(data.counts)),
    fact("Wall time", text.seconds(data.duration or 0)), fact("Processor time", text.seconds(data.cpu.user + data.cpu.system)),
    fact("Cache hits", (summary.cache_hits(data.counts) or "cache hits none"):match("hits (.+)$")),
    fact("At once", data.jobs and tostring(data.jobs)),
    fact("Started", os.date("%Y-%m-%d %H:%M:%S", math.floor(data.started))), fact("File", data.file), fact("Run", data.run),
    fact("Resumes", data.resumed_from), "</dl></section>",
  }
end

local function problem(step, anchor)
  return table.concat {
    '<article class="card problem"><h3><a href="#s', anchor, '">', escape(step.key), '</a></h3><div class="soft">',
    escape(steps.how(step)), step.place and " · " .. escape(step.place) or "", "</div>",
    step.command and "<pre>" .. escape(step.command) .. "</pre>" or "", steps.tail(step), "</article>",
  }
end

local function resume_words(data)
  if data.status == "success" or not data.resume then return "" end
  return '<p class="note">Resume with <code>' .. escape(data.resume) .. "</code></p>"
end

-- The first failure first.
local function problems(data)
  local list, followers = {}, { blocked = 0, cancelled = 0, not_run = 0 }
  for i, step in ipairs(data.steps) do
    if failed[step.state] then list[#list + 1] = { step = step, anchor = i } end
    if followers[step.state] then followers[step.state] = followers[step.state] + 1 end
  end
  if #list == 0 then return resume_words(data) end
  table.sort(list, function(a, b)
    if (a.step.key == data.first_failure) ~= (b.step.key == data.first_failure) then return a.step.key == data.first_failure end
    return (a.step.ended or 0) < (b.step.ended or 0)
  end)
  local out = { "<h2>What failed</h2>" }
  for i = 1, math.min(#list, most_problems) do out[#out + 1] = problem(list[i].step, list[i].anchor) end
  if #list > most_problems then
    out[#out + 1] = ('<p class="note">%d more failed, see the steps below.</p>'):format(#list - most_problems)
  end
  local unbegun = followers.blocked + followers.not_run
  if followers.cancelled > 0 then out[#out + 1] = ('<p class="note">%d more cancelled because of that.</p>'):format(followers.cancelled) end
  if unbegun > 0 then out[#out + 1] = ('<p class="note">%d more not run because of that.</p>'):format(unbegun) end
  out[#out + 1] = resume_words(data)
  return table.concat(out, "\n")
end

local function path_words(data)
  local by_key, parts = {}, {}
  for i, step in ipairs(data.steps) do by_key[step.key] = i end
  for i, key in ipairs(data.critical_path or {}) do
    local at = by_key[key]
    parts[i] = ('<a href="#s%d">%s</a> <span class="soft">%s</span>'):format(at, escape(key), text.seconds(data.steps[at].duration or 0))
  end
  local left_out = #parts - most_on_path
  if left_out > 1 then
    local first = table.move(parts, 1, most_on_path // 2, 1, { [most_on_path // 2 + 1] = ("(%d more)"):format(left_out) })
    parts = table.move(parts, #parts - most_on_path // 2 + 1, #parts, #first + 1, first)
  end
  return #parts > 1 and '<p class="note">Critical path: ' .. table.concat(parts, " → ") .. "</p>" or ""
end

return function(data)
  local critical, anchors = {}, {}
  for _, key in ipairs(data.critical_path or {}) do critical[key] = true end
  for i, step in ipairs(data.steps) do anchors[step.key] = i end
  local function link_of(node) return anchors[node.key] and "#s" .. anchors[node.key] end
  return page(("%s: %s"):format(data.pipeline or data.file, data.status), {
    head(data), problems(data), "<h2>Time line</h2>", path_words(data), gantt(data, critical), "<h2>Graph</h2>",
    graph(data.steps, link_of, critical), "<h2>Steps</h2>", steps.list(data), "<footer>Perilune, run " .. escape(data.run) .. "</footer>",
  }, steps.script)
end
