-- Slurm, by its commands: one squeue for all jobs, one scancel for all that are to end. A job has its name as its comment too, by which
-- it is found again where the runner was killed before it heard the id.
local json = require "perilune.json"
local command = require "perilune.pipeline.executor_command"

local slurm = {}
slurm.__index = slurm

-- Slurm itself kills what it was told to end after its KillWait; before that nobody else does.
local usual_kill_wait <const> = 30

function slurm.new(spec, folder)
  return setmetatable({ spec = spec, folder = folder, plain = false, kill_wait = usual_kill_wait, knows_names = true }, slurm)
end

local flags <const> = { partition = "--partition=", account = "--account=", time = "--time=", cpus = "--cpus-per-task=", mem = "--mem=" }

-- A job that Slurm would start a second time by itself could have its effect twice: --no-requeue.
function slurm:submit(job)
  local argv = { "sbatch", "--parsable", "--no-requeue", "--comment=" .. job.name, "--job-name=" .. job.name,
                 "--output=" .. job:file "queue.log", "--chdir=" .. job.path }
  for _, name in ipairs { "partition", "account", "time", "cpus", "mem" } do
    if self.spec[name] then argv[#argv + 1] = flags[name] .. tostring(self.spec[name]) end
  end
  for _, word in ipairs(self.spec.args or {}) do argv[#argv + 1] = tostring(word) end
  argv[#argv + 1] = job:file "submit.sh"
  local said, problem, why = command.ask(argv, self.folder)
  if not said then return nil, problem, why end
  local id = said:match("(%d+)[^\n]*%s*$")
  if not id then return nil, "sbatch printed no id" end
  return id
end

local over <const> = { BOOT_FAIL = true, CANCELLED = true, COMPLETED = true, DEADLINE = true, FAILED = true, NODE_FAIL = true,
                       OUT_OF_MEMORY = true, PREEMPTED = true, REVOKED = true, TIMEOUT = true }

local function add(found, id, state, comment)
  local one = { id = tostring(id), state = state, over = over[state] }
  found[one.id] = one
  if comment and comment ~= "" then found[comment] = one end
end

-- Where squeue cannot write JSON (a plugin that not every installation has), its columns tell the same.
local function from_columns(folder)
  local said, problem = command.ask({ "squeue", "--noheader", "--me", "--states=all", "--format=%i|%T|%k" }, folder)
  if not said then return nil, problem end
  local found = {}
  for id, state, comment in said:gmatch("([^|\n]+)|([^|\n]+)|([^\n]*)") do add(found, id, state, comment) end
  return found
end

local function from_json(folder)
  local said, problem, why = command.ask({ "squeue", "--json", "--me", "--states=all" }, folder)
  local listed = said and json.decode(said)
  if type(listed) ~= "table" or type(listed.jobs) ~= "table" then return nil, problem or "squeue --json printed no JSON", why end
  local found = {}
  for _, one in ipairs(listed.jobs) do
    local state = one.job_state
    add(found, math.tointeger(one.job_id) or one.job_id, type(state) == "table" and state[1] or state, one.comment)
  end
  return found
end

function slurm:status()
  if not self.plain then
    local found, problem, why = from_json(self.folder)
    if found or why == "silent" then return found, problem end
  end
  local found, problem = from_columns(self.folder)
  self.plain = found ~= nil
  return found, problem
end

function slurm:cancel(ids, kill)
  local said, problem = command.ask({ "scancel", table.unpack(ids) }, self.folder)
  if said and kill then said, problem = command.ask({ "scancel", "--signal=KILL", "--full", table.unpack(ids) }, self.folder) end
  return said, problem
end

function slurm.collect() return true end

return slurm
