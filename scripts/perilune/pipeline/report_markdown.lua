-- A run as Markdown, as forges and CI services show it: what failed first, then the steps.
local failure = require "perilune.pipeline.failure"
local line = require "perilune.pipeline.line"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local most_rows <const> = 200
local signs = { succeeded = "✅", cached = "🟰", skipped = "⏭️", failed = "❌", timeout = "⏰", blocked = "🚫", cancelled = "🛑", not_run = "🚫" }

local function plain(words) return line.without_controls(line.valid(words), false) end

-- A code block whose fence no line inside can end.
local function block(words, language)
  local longest = 2
  for ticks in words:gmatch("`+") do longest = math.max(longest, #ticks) end
  local fence = ("`"):rep(longest + 1)
  return ("%s%s\n%s\n%s\n"):format(fence, language or "", words, fence)
end

local function code(words)
  words = plain(words):gsub("%s+", " ")
  return words:find("`", 1, true) and "`` " .. words .. " ``" or "`" .. words .. "`"
end

local function cell(words) return (plain(words):gsub("%s+", " "):gsub("[\\|<>*_`%[%]]", "\\%0")) end

local function write_failure(out, step)
  out[#out + 1] = ("### %s failed: %s%s\n"):format(cell(step.key), cell(failure.how(step)), step.place and " (" .. code(step.place) .. ")" or "")
  if step.command then out[#out + 1] = block(plain(step.command), "sh") end
  if step.tail and #step.tail > 0 then
    local lines = {}
    for i, each in ipairs(step.tail) do lines[i] = plain(each) end
    out[#out + 1] = block(table.concat(lines, "\n"))
  end
  if step.log then out[#out + 1] = ("Log: %s\n"):format(code(step.log)) end
end

local function write_table(out, data)
  out[#out + 1] = "| | Step | State | Time | Why |\n|---|---|---|---:|---|"
  for i, step in ipairs(data.steps) do
    if i > most_rows then
      out[#out + 1] = ("\n%d more steps.\n"):format(#data.steps - most_rows)
      return
    end
    local why = (step.reason or "") .. (step.left and "; " .. text.left(math.tointeger(step.left)) or "")
    out[#out + 1] = ("| %s | %s | %s | %s | %s |"):format(signs[step.state] or "", cell(step.key), step.state,
                                                         step.command and text.seconds(step.duration or 0) or "", cell(why))
  end
  out[#out + 1] = ""
end

local function times(data, keys, separator)
  local by_key, parts = {}, {}
  for _, step in ipairs(data.steps) do by_key[step.key] = step end
  for i, key in ipairs(keys) do parts[i] = ("%s %s"):format(code(key), text.seconds(by_key[key].duration or 0)) end
  return table.concat(parts, separator)
end

return function(data)
  local out = { ("# %s: %s\n"):format(cell(data.pipeline or data.file), data.status) }
  out[#out + 1] = ("%s in %s, cpu %s. Run %s of %s.\n"):format(summary.counts(data.counts), text.seconds(data.duration or 0),
                                                               text.seconds(data.cpu.user + data.cpu.system), code(data.run), code(data.file))
  for _, step in ipairs(data.steps) do
    if step.state == "failed" or step.state == "timeout" then write_failure(out, step) end
  end
  if data.status ~= "success" and data.resume then out[#out + 1] = "Resume with " .. code(data.resume) .. "\n" end
  out[#out + 1] = "## Steps\n"
  write_table(out, data)
  if #(data.critical_path or {}) > 0 then out[#out + 1] = "Critical path: " .. times(data, data.critical_path, " → ") .. "\n" end
  if #(data.slowest or {}) > 0 then out[#out + 1] = "Slowest: " .. times(data, data.slowest, ", ") .. "\n" end
  return table.concat(out, "\n")
end
