-- `perilune schema`: what schema.lua checks, as a JSON Schema for editors: completion, hints and marks while a pipeline is written.
local json = require "perilune.json"
local schema = require "perilune.pipeline.schema"

local docs = {
  top = {
    pipeline = "About the whole.", params = "What is given from outside: -p NAME=VALUE, as ${params.NAME}.",
    secrets = "Values that are masked wherever they would show, as ${secrets.NAME}.",
    pools = "How many steps of each pool run at once.", steps = "What is to be done, by name.",
    executors = "Where commands can run but here, by name.",
  },
  pipeline = {
    name = "What reports call it; the folder's name without one.", doc = "What it is for.", default = "The targets of a run that names none.",
    dotenv = "Files of NAME=VALUE lines for the environment; what is set already wins.", env = "Environment of all steps.",
    cwd = "Where steps run, seen from the file.", timeout = "Limit of the whole run. What runs always still does after it, within its own timeout or the grace.", jobs = "How many steps run at once.",
    grace = "How long what is being stopped may take before it is killed.",
    executor = "Where commands run that do not say it themselves; \"local\" without one.",
  },
  executors = {
    kind = "slurm, or command: a queue spoken to by the commands given here.", submit = "Sends ${job.script}; prints the id of the job last.",
    status = "Prints a line with the id or ${job.name} of each job that waits or runs.", cancel = "Asks the jobs ${job.ids} to end.",
    kill = "Ends the jobs ${job.ids} that are still there after the grace; cancel without one.", collect = "Run when job ${job.id} is over, before its result is read in ${job.folder}.",
    jobs = "How many of its jobs there are at once.", poll = "The longest time between two questions to the queue.",
    partition = "Of Slurm.", account = "Of Slurm.", time = "Limit of a job, as Slurm writes it.", cpus = "Processors of a job.",
    mem = "Memory of a job, as Slurm writes it.", args = "Further words for sbatch.",
  },
  params = {
    type = "The type of its values; string without one.", required = "It must be given.", default = "Its value where none is given.",
    pattern = "A regular expression that its values match.", choices = "All its values.", doc = "What it is for.",
  },
  secrets = { env = "The variable that holds it.", file = "The file that holds it.", required = "It must be there." },
  retry = {
    attempts = "How many in all.", backoff = "The first and the longest pause: \"1s..30s\".", factor = "How pauses grow.",
    jitter = "Which part of a pause is drawn at random.", on = "Only then: \"failure\", \"timeout\", \"exit:6,7\", \"signal:TERM\".",
  },
  each = { argv = "Prints the items as JSON, or one in a line; empty lines are none.", sh = "Prints the items as JSON, or one in a line; empty lines are none.", lua = "FILE:FUNCTION that returns them.", items = "The items." },
  step = {
    doc = "What it is for.", argv = "The program and its words, without a shell.", sh = "A script for /bin/sh -eu.",
    lua = "FILE:FUNCTION, run in this process.", needs = "Steps that must have succeeded.", after = "Steps that must have ended.",
    when = "After which endings it runs.", ["if"] = "It is skipped unless this holds.",
    matrix = "One step for each combination, as ${matrix.NAME}; `exclude` leaves some out.",
    each = "One step for each item found at run time, as ${item}.", env = "Its environment.", cwd = "Where it runs, seen from the file.",
    inputs = "Files, folders and patterns that it reads.", outputs = "What it makes: it is up to date while nothing has changed.",
    pool = "It waits for a place in this pool.", timeout = "Its limit.", retry = "Further attempts.",
    fail = "\"collect\": a failure does not stop the others.", effect = "It changes the world outside: never cached, never repeated by resume.",
    capture = "Its output becomes ${steps.NAME.value}: as text without the last newline, as a list of all its lines, or as what its JSON says.", limit = "How many items run at once.",
    interactive = "It has the terminal.", grace = "How long it may take to stop.", finally = "It runs at the end, whatever happened.",
    executor = "Where its command runs: a name in executors, or \"local\".",
  },
}

local scalar = { type = json.array { "string", "number", "boolean" } }
local words = { anyOf = json.array { { type = "string" }, { type = "array", items = { type = "string" } } } }
local duration = { anyOf = json.array { { type = "number", minimum = 0 },
                                        { type = "string", pattern = "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?)+$|\\$\\{" } } }

-- What a template may stand for as well.
local function or_template(definition) return { anyOf = json.array { definition, { type = "string", pattern = "\\$\\{" } } } end

local count = or_template { type = "integer", minimum = 1 }

local types = {
  string = { type = "string" }, boolean = { type = "boolean" }, integer = or_template { type = "integer" }, number = or_template { type = "number" },
  table = { type = "object" }, map = { type = "object", additionalProperties = scalar }, list = { type = "array" },
  argv = { type = "array", items = scalar, minItems = 1 }, count = count, names = { type = "object" },
  words = words, duration = duration, scalar = scalar, any = {},
}
for kind, choices in pairs(schema.choices) do types[kind] = { enum = json.array(choices) } end

local function with_doc(definition, doc)
  local made = { description = doc }
  for key, value in pairs(definition) do made[key] = value end
  return made
end

-- The object whose keys are those of a section; `special` has definitions that say more than a kind does.
local function object(section, special)
  local properties = {}
  for key, kind in pairs(schema.keys[section]) do
    local definition = special and special[key] or types[kind]
    if not definition then error(("no type for %s.%s"):format(section, key)) end
    properties[key] = with_doc(definition, docs[section][key])
  end
  return { type = "object", additionalProperties = false, properties = properties }
end

local on_what = { type = "string", pattern = "^(failure|timeout|exit:[0-9][0-9,]*|signal:(SIG)?[A-Z0-9]+)$|\\$\\{" }

local function retry()
  return object("retry", {
    attempts = types.count, factor = or_template { type = "number", minimum = 1 }, jitter = or_template { type = "number", minimum = 0, maximum = 1 },
    backoff = { anyOf = json.array { duration, { type = "string", pattern = "^[0-9].*\\.\\.[0-9]|\\$\\{" },
                                     { type = "array", items = duration, minItems = 1, maxItems = 2 } } },
    on = { anyOf = json.array { on_what, { type = "array", items = on_what } } },
  })
end

local function step()
  local made = object("step", {
    matrix = { type = "object", properties = { exclude = { type = "array", items = { type = "object" } } },
               additionalProperties = { type = "array", items = scalar } },
    each = { anyOf = json.array { { type = "array" }, { type = "string" }, object "each" } },
    retry = { anyOf = json.array { types.count, retry() } },
    lua = { type = "string", pattern = ":[A-Za-z0-9_]+$|\\$\\{" },
  })
  local pairs_refused = { { "argv", "sh" }, { "argv", "lua" }, { "sh", "lua" } }
  local refused = {}
  for i, pair in ipairs(pairs_refused) do refused[i] = { required = json.array(pair) } end
  made["not"] = { anyOf = json.array(refused) }
  return made
end

local function named(definition) return { type = "object", additionalProperties = definition } end

local function file()
  local steps, executor = named(step()), object "executors"
  executor.required = json.array { "kind" }
  local executors = named(executor)
  executors.propertyNames = { pattern = "^([A-Za-z_]|[^\\u0000-\\u007f])([A-Za-z0-9_.-]|[^\\u0000-\\u007f])*$", ["not"] = { const = "local" } }
  steps.propertyNames = { pattern = "^([A-Za-z0-9_.:/-]|[^\\u0000-\\u007f])+$" }
  return object("top", {
    pipeline = object "pipeline",
    params = named(object("params", { type = { enum = json.array { "string", "integer", "number", "boolean" } } })),
    secrets = named(object "secrets"),
    executors = executors,
    pools = named(count),
    steps = steps,
  })
end

return function()
  local made = file()
  made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
  made.title = "Perilune pipeline"
  print(json.encode(made, { indent = 2 }))
  return 0
end
