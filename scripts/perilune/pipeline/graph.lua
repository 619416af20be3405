-- The graph of a pipeline as it is planned, or of a run as it was, with the states of its steps: as text for other programs, or as
-- a page.
local json = require "perilune.json"
local markup = require "perilune.markup"
local encode = require("perilune.pipeline.any_json").readable
local text = require "perilune.pipeline.text"
local formats = require("perilune.cli.vocabulary").commands.graph.formats

local graph = {}

-- Each: a function of {name, steps, run} that returns the text.
local draw = {}

local colors = { succeeded = "#2da44e", cached = "#8bb8d0", skipped = "#b1bac4", failed = "#d1242f", timeout = "#d1242f", blocked = "#d4a72c",
                 cancelled = "#d4a72c", not_run = "#d4a72c", pending = "#eaeef2", running = "#4493f8" }

-- Calls fn(from, to, kind) for each edge; kind is "needs", "after" or "added".
local function each_edge(steps, fn)
  for _, step in ipairs(steps) do
    for _, key in ipairs(step.needs) do fn(key, step.key, "needs") end
    for _, key in ipairs(step.after) do fn(key, step.key, "after") end
    if step.added_by then fn(step.added_by, step.key, "added") end
  end
end

local function quoted(words) return '"' .. words:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"' end

-- What stands on a step: its key, and where it runs.
local function label_of(step) return step.executor and ("%s\n@ %s"):format(step.key, step.executor) or step.key end

local dot_styles = { needs = "", after = " [style=dashed]", added = " [style=dotted]" }

function draw.dot(of)
  local out = { "digraph {", "  rankdir=LR; node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];" }
  for _, step in ipairs(of.steps) do
    local told = {}
    if step.executor then told[1] = "label=" .. quoted(label_of(step)) end
    if step.state then told[#told + 1] = ('fillcolor="%s", tooltip="%s"'):format(colors[step.state] or "white", step.state) end
    out[#out + 1] = ("  %s%s;"):format(quoted(step.key), #told > 0 and " [" .. table.concat(told, ", ") .. "]" or "")
  end
  each_edge(of.steps, function(from, to, kind) out[#out + 1] = ("  %s -> %s%s;"):format(quoted(from), quoted(to), dot_styles[kind]) end)
  out[#out + 1] = "}\n"
  return table.concat(out, "\n")
end

function draw.mermaid(of)
  local out, ids, used = { "flowchart LR" }, {}, {}
  for i, step in ipairs(of.steps) do
    ids[step.key] = "s" .. i
    out[#out + 1] = ('  s%d["%s"]%s'):format(i, label_of(step):gsub('"', "#quot;"):gsub("\n", "<br>"), step.state and ":::" .. step.state or "")
    if step.state then used[step.state] = true end
  end
  each_edge(of.steps, function(from, to, kind)
    if ids[from] then out[#out + 1] = ("  %s %s %s"):format(ids[from], kind == "needs" and "-->" or "-.->", ids[to]) end
  end)
  for _, state in ipairs(text.sorted_keys(used)) do out[#out + 1] = ("  classDef %s fill:%s"):format(state, colors[state]) end
  return table.concat(out, "\n") .. "\n"
end

function draw.json(of)
  local steps = json.array {}
  for i, step in ipairs(of.steps) do
    steps[i] = { key = step.key, name = step.name, doc = step.doc, needs = json.array(step.needs), after = json.array(step.after),
                 added_by = step.added_by, executor = step.executor or nil, state = step.state, duration = step.state and step.duration }
  end
  return encode({ run = of.run, steps = steps }, { indent = 2 }) .. "\n"
end

function draw.html(of)
  local heading = of.run and ("%s, run %s"):format(of.name, of.run) or of.name
  local function no_link() end
  return require("perilune.pipeline.html_page")(heading, {
    "<h1>" .. markup.text(heading) .. "</h1>", ('<p class="note">%d steps</p>'):format(#of.steps),
    require("perilune.pipeline.html_graph")(of.steps, no_link, {}, true),
  })
end

-- of: {name, steps, run}; steps as in a pipeline or a record.
function graph.draw(of, format)
  return draw[text.one_of("format", format, formats)](of)
end

return graph
