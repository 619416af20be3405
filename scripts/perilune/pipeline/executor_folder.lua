-- The folder of a job that an executor runs for a step, below .perilune/jobs, which nobody else may enter: what it runs, with which
-- environment, what it prints, and its result, which appears at once or not at all. It outlives the runner, so that another run can
-- take the job up. The script that goes to the queue names files only: no secret leaves the folder.
--
--   job.json            whose it is: key, fingerprint, run, name
--   submit.sh           what the queue is given        command    what it runs, with its environment
--                       and secrets; it removes itself when it begins
--   id, started         of the queue; seconds since 1970
--   out, err, result    what it prints; its exit code
--   gone                the queue has it no more, and there is no result
--   dropped             its result counts no more
local fs = require "perilune.fs"
local hash = require "perilune.hash"
local json = require "perilune.json"
local peri = require "perilune"
local text = require "perilune.pipeline.text"

local job_folder = {}
job_folder.__index = job_folder

-- Whoever leads a group has all of it to itself and the command in it; for others the command gets a group of its own. A signal goes
-- on to the whole group, one that comes before the command has begun too, and what the command has left in its group is ended. The
-- command is waited for until it has really ended. It begins once at most, and not where its result would count no more.
local script <const> = [[
#!/bin/sh
asked= child=
end() {
  asked=1
  [ "$child" ] || return 0
  if [ "$group" = "$$" ]; then
    trap '' TERM
    kill -s TERM 0
    trap end TERM
  else
    kill -s TERM -- "-$child" 2>/dev/null || kill -s TERM "$child" 2>/dev/null
  fi
}
trap end TERM INT HUP XCPU
cd %s && [ ! -e started ] || exit 126
{ read -r _ _ _ _ group _ </proc/$$/stat; } 2>/dev/null
own=
[ "$group" = "$$" ] || own=$(command -v setsid)
mask=$(umask)
umask 077
: >out && : >err && date +%%s >started || exit 126
umask "$mask"
code=143
if [ -z "$asked" ] && [ ! -e dropped ]; then
  $own /bin/sh ./command >out 2>err </dev/null &
  child=$!
  [ -z "$asked" ] || end
  wait "$child"
  code=$?
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
  done
  end
fi
echo "$code" >result.new && mv result.new result
exit "$code"
]]

-- Quoted whatever is in it: a name of a variable or a word of a command is never read by the shell.
local function quoted(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function command_of(ready, environment)
  local lines, words = { "rm -f ./command" }, {} -- the shell has it open
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
  local self = setmetatable({ path = base .. "/" .. name, name = name, key = run.mask(step.key), fingerprint = ready.fingerprint }, job_folder)
  fs.mkdir(self.path, { recursive = true })
  self:write("command", command_of(ready, ready.environment))
  self:write("submit.sh", script:format(quoted(self.path)))
  self:belong_to(run)
  return self
end

local function folders_in(base)
  local found = {}
  for _, name in ipairs(fs.exists(base) and fs.list(base) or {}) do
    local self = setmetatable({ path = base .. "/" .. name, name = name }, job_folder)
    local known = json.decode(self:read "job.json" or "")
    if type(known) == "table" then self.key, self.run, self.fingerprint = known.key, known.run, known.fingerprint end
    self.id = self:read "id"
    found[#found + 1] = self
  end
  return found
end

-- Those that are left of a step.
function job_folder.left(run, step) return folders_in(base_of(run.store, step.key)) end

-- Whether its run has seen the end of its step.
local function is_final(store, key, one)
  local row = store:step_of(one.run, key)
  return row ~= nil and row.state ~= "cancelled" and row.state ~= "not_run"
end

-- Whether an earlier run has begun a step and not seen its end: its job is taken up, never sent twice.
function job_folder.is_open(run, step, ready, one)
  return not (run.options.force or one.run == run.run or one.fingerprint ~= ready.fingerprint or one:has "dropped")
    and not is_final(run.store, step.key, one)
end

-- At the end of a run, when its outcomes are kept: what is over and will not be gone on with is not needed any more, whoever left it.
function job_folder.tidy(store)
  for _, name in ipairs((fs.list(store.folder .. "/jobs"))) do
    for _, one in ipairs(folders_in(store.folder .. "/jobs/" .. name)) do
      if one:is_over() and (one:has "dropped" or one.run and is_final(store, one.key, one)) then one:remove() end
    end
  end
end

function job_folder:file(name) return self.path .. "/" .. name end

-- The content of a file, or nil.
function job_folder:read(name)
  local ok, content = pcall(fs.read, self:file(name))
  return ok and content or nil
end

function job_folder:has(name) return fs.exists(self:file(name)) end

-- Whether a queue that does not list it has not got it. One that has begun, and whose id was never heard, may be there under its id only.
function job_folder:would_be_listed(queue) return self.id ~= nil or queue.knows_names or not self:has "started" end

function job_folder:is_over() return self:has "result" or self:has "gone" end

-- A file that is there as a whole, for its owner only.
function job_folder:write(name, content)
  local new = fs.temp_file { folder = self.path, prefix = name .. "-" }
  fs.write(new, content, { atomic = false })
  fs.rename(new, self:file(name))
end

-- Says whose it is, from the beginning or taken up.
function job_folder:belong_to(run)
  self.run = run.run
  self:write("job.json", json.encode { key = self.key, fingerprint = self.fingerprint, run = self.run, name = self.name })
end

function job_folder:set_id(id)
  self.id = id
  self:write("id", id)
end

function job_folder:mark(name)
  if fs.exists(self.path) then self:write(name, "") end
end

-- Nothing will run what it holds any more.
function job_folder:forget_command() pcall(fs.remove, self:file "command") end

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
