-- Results for people: nothing of what passed, everything of what failed, the reason of what was skipped, and one line of sums.
local text = {}

local run
local colors = { red = "\27[31m", green = "\27[32m", yellow = "\27[33m" }

local function painted(color, words)
  if not run.color then return words end
  return colors[color] .. words .. "\27[0m"
end

local function place_of(result) return result.line and result.file .. ":" .. result.line or result.file end

local function indented(words) return "  " .. words:gsub("\n", "\n  ") .. "\n" end

local function shell_word(word)
  if word:find("^[%w%._/-]+$") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function command_again(result, record)
  local words = { "perilune test --seed " .. record.seed }
  if run.shuffle then words[#words + 1] = "--shuffle" end
  if run.cancel_here then words[#words + 1] = "--cancel-here" end
  if not (run.shuffle or result.of_file) then words[#words + 1] = "--filter " .. shell_word(result.name) end
  words[#words + 1] = shell_word(record.path)
  return table.concat(words, " ")
end

local show = {}

function show.passed(result)
  if run.verbose then io.write(painted("green", "passed"), "  ", result.name, "\n") end
end

function show.listed(result) io.write(place_of(result), ": ", result.name, "\n") end

function show.skipped(result)
  io.write(painted("yellow", "SKIPPED"), " ", place_of(result), ": ", result.name, "\n", indented(result.why))
end

function show.failed(result, record)
  io.write(painted("red", "FAILED"), " ", place_of(result), ": ", result.name, "\n", indented(result.why))
  io.write("  again: ", command_again(result, record), "\n")
end

function text.begin(what) run = what end

function text.file(record)
  for _, result in ipairs(record.results) do show[result.status](result, record) end
  io.stdout:flush()
end

local function counted(count, noun) return ("%d %s%s"):format(count, noun, count == 1 and "" or "s") end

local function seeds()
  if run.rounds == 1 then return ("(seed %d)"):format(run.seed) end
  return ("in %d rounds (seeds %d to %d)"):format(run.rounds, run.seed, run.seed + run.rounds - 1)
end

function text.finish(totals)
  if run.list then return end
  local ran = totals.passed + totals.failed
  local skipped = totals.skipped > 0 and (", %d skipped"):format(totals.skipped) or ""
  if totals.failed > 0 then
    io.write(painted("red", ("%d of %s failed"):format(totals.failed, counted(ran, "test"))), skipped, " ", seeds(), "\n")
  else
    io.write(painted("green", counted(ran, "test") .. " passed"), skipped, " ", seeds(), "\n")
  end
end

return text
