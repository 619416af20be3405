-- The folder of a job that an executor runs for a step, below .perilune/jobs, which nobody else may enter: what it runs, with which
-- environment, what it prints, and its result, which appears at once or not at all. It outlives the runner, so that another run can
-- take the job up. The script that goes to the queue names files only: no secret leaves the folder.
--
--   job.json            whose it is: key, fingerprint, run, name
--   submit.sh           what the queue is given        command    what it runs, with its environment
--   id, started         of the queue; seconds since 1970
--   out, err, result    what it prints; its exit code
--   dropped             its result counts no more
local fs = require "perilune.fs"
local hash = require "perilune.hash"
local json = require "perilune.json"
local peri = require "perilune"
local text = require "perilune.pipeline.text"

local job_folder = {}
job_folder.__index = job_folder

-- The command is waited for until it has really ended; a signal to the script is handed on.
local script <const> = [[
#!/bin/sh
cd %s || exit 126
date +%%s >started
trap 'kill -s TERM "$child" 2>/dev/null' TERM INT HUP XCPU
/bin/sh ./command >out 2>err </dev/null &
child=$!
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  code=$?
done
echo "$code" >result.new && mv result.new result
exit "$code"
]]

-- Quoted whatever is in it: a name of a variable or a word of a command is never read by the shell.
local function quoted(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function command_of(ready, environment)
  local lines, words = {}, {}
  for _, name in ipairs(text.sorted_keys(environment)) do
    local value = environment[name]
    if name:match("^[%a_][%w_]*$") then
      lines[#lines + 1] = value and ("export %s=%s"):format(name, quoted(tostring(value))) or "unset " .. name
    end
  end
  for i, word in ipairs(ready.run_argv) do words[i] = quoted(tostring(word)) end
  lines[#lines + 1] = ("cd %s || exit 127"):format(quoted(ready.cwd))
  lines[#lines + 1] = "exec " .. table.concat(words, " ")
  return table.concat(lines, "\n") .. "\n"
end

local function base_of(store, key) return ("%s/jobs/%s"):format(store.folder, hash.text(key):sub(1, 16)) end

local function make_private(run)
  local path = run.store.folder .. "/jobs"
  run.making_jobs = run.making_jobs or peri.mutex()
  local turn <close> = run.making_jobs:lock()
  if fs.exists(path) then return end
  fs.rename(fs.temp_dir { folder = run.store.folder, prefix = "jobs-" }, path) -- nobody else may enter it from its first moment
end

function job_folder.make(run, step, ready, n)
  make_private(run)
  local base = base_of(run.store, step.key)
  local name = ("perilune-%s-%s-%d"):format(base:match("[^/]*$"), run.run, n)
  local self = setmetatable({ path = base .. "/" .. name, name = name, run = run.run }, job_folder)
  fs.mkdir(self.path, { recursive = true })
  fs.write(self:file "command", command_of(ready, ready.environment))
  fs.write(self:file "submit.sh", script:format(quoted(self.path)))
  fs.write(self:file "job.json", json.encode { key = run.mask(step.key), fingerprint = ready.fingerprint, run = run.run, name = name },
           { atomic = true })
  return self
end

-- Those that earlier runs have left of a step.
function job_folder.left(run, step)
  local base, found = base_of(run.store, step.key), {}
  if not fs.exists(base) then return found end
  for _, name in ipairs((fs.list(base))) do
    local self = setmetatable({ path = base .. "/" .. name, name = name }, job_folder)
    local known = json.decode(self:read "job.json" or "")
    if type(known) == "table" then self.run, self.fingerprint = known.run, known.fingerprint end
    self.id = self:read "id"
    found[#found + 1] = self
  end
  return found
end

-- Whether an earlier run has begun a step and not seen its end: its job is taken up, never sent twice.
function job_folder.is_open(run, step, ready, one)
  if run.options.force or one.run == run.run or one.fingerprint ~= ready.fingerprint or fs.exists(one:file "dropped") then return false end
  local row = run.store:step_of(one.run, step.key)
  return not row or row.state == "cancelled"
end

function job_folder:file(name) return self.path .. "/" .. name end

-- The content of a file, or nil.
function job_folder:read(name)
  local ok, content = pcall(fs.read, self:file(name))
  return ok and content or nil
end

function job_folder:set_id(id)
  self.id = id
  fs.write(self:file "id", id, { atomic = true })
end

function job_folder:drop()
  if fs.exists(self.path) then fs.write(self:file "dropped", "") end
end

function job_folder:remove()
  pcall(fs.remove, self.path, { recursive = true })
  pcall(fs.remove, (self.path:match("^(.*)/"))) -- unless another job of the step is in it
end

local signals = { [129] = "HUP", [130] = "INT", [131] = "QUIT", [132] = "ILL", [134] = "ABRT", [136] = "FPE", [137] = "KILL", [138] = "USR1",
                  [139] = "SEGV", [140] = "USR2", [141] = "PIPE", [142] = "ALRM", [143] = "TERM", [152] = "XCPU" }

-- How the command ended, or nil. A shell tells a signal as 128 more than its number.
function job_folder:result()
  local code = math.tointeger(tonumber(self:read "result" or ""))
  if not code then return nil end
  local signal = signals[code]
  return { state = code == 0 and "succeeded" or "failed", code = not signal and code or nil, signal = signal, left = 0 }
end

return job_folder
