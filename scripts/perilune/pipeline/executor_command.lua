-- A queue that is spoken to by commands that the pipeline names:
--
--   submit    sends ${job.script}; the last word that it prints is the id of the job
--   status    prints a line for each job that waits or runs, with its id or its name in it; without one, results alone tell
--   cancel    ends the jobs ${job.ids}, which as a word of its own becomes a word for each
--   kill      the same without mercy; where there is none, cancel
--   collect   is run when a job is over, before its result is looked at
local process = require "perilune.process"

local command = {}
command.__index = command

local limit <const> = 60 -- seconds that a command may take
local grace <const> = 1 -- seconds for one that is not waited for any more

-- folder: where its commands run. `is_blind`: it cannot tell the state of jobs.
function command.new(spec, folder) return setmetatable({ spec = spec, folder = folder, is_blind = not spec.status }, command) end

-- Returns what it printed, or nil, what is wrong, and why: "missing" where it could not even begin, "silent" where it did not answer.
function command.ask(argv, folder)
  local ok, result = pcall(process.run, { argv = argv, cwd = folder, check = false, timeout = limit, grace = grace })
  if not ok then
    local silent = type(result) == "userdata" and result.kind == "timeout"
    local said = type(result) == "userdata" and result.message or tostring(result)
    return nil, silent and said or ("cannot run %s: %s"):format(argv[1], said), silent and "silent" or "missing"
  end
  if result.ok then return result.stdout end
  local said = result.stderr:match("([^\n]*)\n*$")
  if said == "" then said = "exit " .. tostring(result.code or result.signal) end
  return nil, ("%s: %s"):format(argv[1], said), result.code == 127 and "missing" or nil
end

-- The words of a template; job: {id, name, path}, ids: of all that are meant.
local function words_of(template, job, ids)
  local words = {}
  local values = { id = job and job.id, name = job and job.name, script = job and job:file "submit.sh", folder = job and job.path,
                   ids = table.concat(ids, ",") }
  for _, word in ipairs(template) do
    word = tostring(word)
    if word == "${job.ids}" then
      table.move(ids, 1, #ids, #words + 1, words)
    else
      words[#words + 1] = word:gsub("%${job%.(%w+)}", values)
    end
  end
  return words
end

function command:submit(job)
  local said, problem, why = command.ask(words_of(self.spec.submit, job, {}), self.folder)
  if not said then return nil, problem, why end
  local id = said:match("(%S+)%s*$")
  if not id then return nil, self.spec.submit[1] .. " printed no id" end
  return id
end

-- {id or name = state} of those that wait or run, or nil and what is wrong. `true`: nothing is known.
function command:status(ids)
  if not self.spec.status then return true end
  local said, problem = command.ask(words_of(self.spec.status, nil, ids), self.folder)
  if not said then return nil, problem end
  local found = {}
  for line in said:gmatch("[^\n]+") do
    local id = line:match("%S+")
    for word in line:gmatch("%S+") do found[word] = { state = "", id = id } end
  end
  return found
end

function command:cancel(ids, kill)
  local template = kill and self.spec.kill or self.spec.cancel
  if template then return command.ask(words_of(template, nil, ids), self.folder) end
  return ""
end

function command:collect(job)
  if not self.spec.collect then return true end
  local said, problem = command.ask(words_of(self.spec.collect, job, { job.id }), self.folder)
  return said ~= nil, problem
end

return command
