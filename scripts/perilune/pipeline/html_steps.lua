-- The list of a run's steps in HTML: a line for each that opens to what ran, where it stands, and the end of its log.
local markup = require "perilune.markup"
local failure = require "perilune.pipeline.failure"
local line = require "perilune.pipeline.line"
local log_tail = require "perilune.pipeline.log_tail"
local text = require "perilune.pipeline.text"

local html_steps = {}

local escape = markup.text
local failed = { failed = true, timeout = true }
local lines_of_success <const>, lines_of_failure <const> = 12, 40

-- Finds steps by their keys, and opens the one that a link leads to.
html_steps.script = [[
const tools = document.querySelector('.tools'), steps = [...document.querySelectorAll('.steps details')];
const find = tools.querySelector('[type=search]'), bad = tools.querySelector('[type=checkbox]');
function show() {
  const words = find.value.toLowerCase();
  for (const step of steps) {
    const hit = step.querySelector('.key').textContent.toLowerCase().includes(words);
    step.hidden = !hit || bad.checked && !/failed|timeout|blocked|cancelled|not_run/.test(step.className);
  }
}
function open() {
  const at = location.hash && document.querySelector(location.hash);
  if (at && at.tagName === 'DETAILS') { at.hidden = false; at.open = true; }
}
find.addEventListener('input', show);
bad.addEventListener('change', show);
addEventListener('hashchange', open);
tools.style.display = 'flex';
open();
]]

-- How a failed step ended, and after how many attempts.
function html_steps.how(step)
  local tried = #step.attempts
  return failure.how(step) .. (tried > 0 and (", attempt %d/%d"):format(tried, math.tointeger(step.allowed) or tried) or "")
end

-- The last lines of a step's log; of a failure those in the record.
function html_steps.tail(step)
  local bad = failed[step.state]
  local lines = bad and step.tail or log_tail.lines(step.log, bad and lines_of_failure or lines_of_success)
  local out = {}
  for i, each in ipairs(lines) do out[i] = escape(line.for_terminal(each, false)) end
  return #out > 0 and "<pre>" .. table.concat(out, "\n") .. "</pre>" or ""
end

local function facts(step)
  local list = {}
  local function add(fact) list[#list + 1] = escape(fact) end
  if step.place then add(step.place) end
  if failed[step.state] then
    add(html_steps.how(step))
  elseif #step.attempts > 0 then
    add(#step.attempts == 1 and "1 attempt" or #step.attempts .. " attempts")
  end
  if step.executor then add("ran on " .. step.executor) end
  if #step.needs > 0 then add("needs " .. table.concat(step.needs, ", ")) end
  if step.added_by then add("added by " .. step.added_by) end
  if step.left then add(text.left(math.tointeger(step.left))) end
  return table.concat(list, " · ")
end

local function element(tag, class, content)
  if not content or content == "" then return "" end
  return ("<%s%s>%s</%s>"):format(tag, class and ' class="' .. class .. '"' or "", content, tag)
end

local step_template <const> = [[
<details id="s{anchor}" class="{state}"><summary><span class="dot"></span><span class="key">{key}</span><span class="state soft">{state}</span>
<span class="time">{time}</span><span class="why soft">{why}</span></summary><div class="body">{body}</div></details>]]

local function step_html(step, anchor)
  local body = { element("div", nil, step.doc and escape(step.doc)), element("div", nil, step.message and escape(step.message)),
                 element("div", "soft", facts(step)), element("pre", nil, step.command and escape(step.command)), html_steps.tail(step),
                 element("div", "soft", step.log and "log: <code>" .. escape(step.log) .. "</code>") }
  return markup.fill(step_template, {
    anchor = anchor, state = step.state, key = escape(step.key), why = escape(step.reason or ""), body = table.concat(body),
    time = step.command and #step.attempts > 0 and text.seconds(step.duration or 0) or "",
  })
end

function html_steps.list(data)
  local out = { [[
<div class="tools"><input type="search" placeholder="Find a step" aria-label="Find a step">
<label><input type="checkbox"> only what went wrong</label></div>
<div class="card steps">]] }
  for i, step in ipairs(data.steps) do out[#out + 1] = step_html(step, i) end
  out[#out + 1] = "</div>"
  return table.concat(out, "\n")
end

return html_steps
