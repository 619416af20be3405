-- `perilune help`, `--help`, and the man page, all made of the vocabulary.
local vocabulary = require "perilune.cli.vocabulary"
local text = require "perilune.pipeline.text"

local help = {}

local line_width <const> = 100

-- The words of a text in lines, the first one behind `first`, the others indented.
local function wrap(first, indent, words)
  local lines, line = {}, first
  for word in words:gmatch("%S+") do
    if #line + 1 + #word > line_width and line:find("%S") then
      lines[#lines + 1] = line
      line = (" "):rep(indent) .. word
    else
      line = line .. (line:match("%s$") and "" or " ") .. word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local function spelled(flag)
  local value = flag.value and (flag.kind == "path" and "[=" .. flag.value .. "]" or " " .. flag.value) or ""
  return (flag.short and "-" .. flag.short .. ", " or "    ") .. "--" .. flag.name .. value
end

local function explained(flag, formats)
  local doc = flag.doc
  if flag.name == "format" and formats then doc = doc .. ": " .. table.concat(formats, ", ") end
  if type(flag.complete) == "table" then doc = doc .. ": " .. table.concat(flag.complete, ", ") end
  if flag.default then doc = doc .. " (" .. flag.default .. ")" end
  if flag.name == "help" then return doc end
  return doc .. " [" .. flag.variable .. "]"
end

local function flag_lines(command)
  local listed, width = vocabulary.flags_of(command), 0
  for _, flag in ipairs(listed) do width = math.max(width, #spelled(flag)) end
  width = math.min(width, 28)
  for _, flag in ipairs(listed) do
    print(wrap(("  %-" .. width .. "s "):format(spelled(flag)), width + 4, explained(flag, command.formats)))
  end
end

function help.of(command)
  print("usage: perilune " .. command.name .. (command.usage ~= "" and " " .. command.usage or ""))
  print("")
  print(command.summary)
  if command.detail then print("\n" .. command.detail) end
  print("\nflags:")
  flag_lines(command)
end

function help.overview()
  print "usage: perilune run [FLAGS] [FILE] [TARGET...]   run a pipeline, or a script"
  print "       perilune FILE [ARGS]                      the same"
  print "       perilune COMMAND [FLAGS] [WORDS]\n"
  print "commands:"
  for _, command in ipairs(vocabulary.commands) do print(("  %-11s %s"):format(command.name, command.summary)) end
  print "\nperilune COMMAND --help lists the flags of a command, and for each the variable that sets it. They may stand before it too."
  print("\n" .. vocabulary.exit_codes)
end

-- The man page ------------------------------------------------------------------------------------------------------

local function roff(line)
  line = line:gsub("\\", "\\e"):gsub("%-", "\\-")
  return line:match("^[%.']") and "\\&" .. line or line
end

-- Paragraphs, filled; a line that is indented stands alone.
local function roff_block(block)
  for line in (block .. "\n"):gmatch("(.-)\n") do
    print(line == "" and ".PP" or line:match("^ ") and ".nf\n" .. roff(line) .. "\n.fi" or roff(line))
  end
end

local function man_command(command)
  print(".SS perilune " .. command.name .. (command.usage ~= "" and " " .. roff(command.usage) or ""))
  roff_block(command.summary:gsub("^%l", string.upper) .. ".")
  if command.detail then
    print ".PP"
    roff_block(command.detail)
  end
  for _, flag in ipairs(vocabulary.flags_of(command)) do
    print(".TP\n.B " .. roff((spelled(flag):gsub("^ +", ""))))
    print(roff(explained(flag, command.formats)))
  end
end

function help.man(version)
  print('.TH PERILUNE 1 "" "perilune ' .. version .. '" "User commands"')
  print ".SH NAME\nperilune \\- run pipelines and Lua scripts of tasks"
  print ".SH SYNOPSIS\n.B perilune run\n[FLAGS] [FILE] [TARGET...] [\\-\\- ARGS]\n.br\n.B perilune\nFILE [ARGS]\n.br\n.B perilune\nCOMMAND [FLAGS] [WORDS]"
  print ".SH COMMANDS"
  for _, command in ipairs(vocabulary.commands) do man_command(command) end
  print ".SH EXIT STATUS\n.nf"
  for line in (vocabulary.exit_codes:gsub("^[^\n]*\n", "") .. "\n"):gmatch("(.-)\n") do print(roff(line)) end
  print ".fi\n.SH FILES"
  print ".TP\n.B perilune.toml, perilune.lua\nThe pipeline of a project, in the folder where it is run or above."
  print ".TP\n.B .perilune/\nWhat a project keeps between runs: the database of runs, and the logs of steps."
end

-- The command ---------------------------------------------------------------------------------------------------------

function help.main(values, words)
  if values.format and values.format ~= "text" then
    if values.format ~= "man" then text.refuse(2, "--format: one of text, man expected, got '%s'", values.format) end
    help.man(require("perilune.native.system").version)
    return 0
  end
  if not words[1] then
    help.overview()
    return 0
  end
  local command = vocabulary.commands[words[1]]
  if not command then text.refuse(2, "unknown command '%s'%s", words[1], text.suggestion(words[1], vocabulary.names)) end
  help.of(command)
  return 0
end

return help
